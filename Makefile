# Everything runs in .venv; `make setup` is called by what needs it and is quick the second time.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.setup-stamp
GPU ?= 0
DEMO_STEPS ?= 8000
COUNT ?= 10000
SEED ?= 1000

.PHONY: help setup demo test test-long fuzz test-coverage lint format schema demo-models benchmark benchmark-data benchmark-models clean

help:
	@echo "make setup        create .venv and install memaudit into it (GPU=1: the GPU build of FAISS)"
	@echo "make demo         scan three bundled models on real images"
	@echo "make test         run the tests but those marked long (about a quarter of an hour on two slow cores)"
	@echo "make test-long    run the tests marked long, which take minutes each"
	@echo "make fuzz         try COUNT damaged inputs of each kind on the readers of data, from SEED on"
	@echo "make test-coverage  run the tests and show which lines of memaudit/ they do not reach"
	@echo "make lint         style, types, layers"
	@echo "make format       apply the style"
	@echo "make schema       write the JSON Schemas of the package anew"
	@echo "make demo-models  train the bundled models again (20 minutes to an hour on two cores)"
	@echo "make benchmark    run the benchmarks that need no training (more than an hour on two cores)"
	@echo "make benchmark-models  train the models whose memorized images are known (some hours on two cores)"

setup: $(STAMP)
ifeq ($(GPU),1)
	@cuda=$$($(BIN)/python -c 'import torch; print((torch.version.cuda or "none").split(".")[0])'); \
	case $$cuda in \
		13) wheel=faiss-gpu-cuvs ;; \
		12) wheel=faiss-gpu ;; \
		*) echo "torch has no CUDA 12 or 13 build here (found: $$cuda); keeping faiss-cpu"; exit 2 ;; \
	esac; \
	$(BIN)/uv pip uninstall --quiet --python $(BIN)/python faiss-cpu faiss-gpu faiss-gpu-cuvs; \
	$(BIN)/uv pip install --quiet --python $(BIN)/python $$wheel
endif

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))' || \
		{ echo "memaudit needs Python 3.12 or newer; found $$($(PYTHON) --version). Say make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --group dev --editable .
	@touch $(STAMP)

demo: setup
	rm -rf memaudit-demo
	$(BIN)/memaudit demo

# One process a core with one thread each, as have the programs that a test starts.
# Tests of one file stay in one process, so that what they share is made once.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 \
	--dist loadfile --no-loadscope-reorder --durations 30

test: setup
	$(PYTEST)

test-long: setup
	$(PYTEST) -m long

fuzz: setup
	FUZZ_COUNT=$(COUNT) FUZZ_SEED=$(SEED) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -s tests/fuzz

test-coverage: setup
	COVERAGE_CORE=sysmon $(PYTEST) --cov memaudit --cov-report term-missing:skip-covered

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schema: setup
	$(BIN)/python docs/schema.py

# One thread each: trainings share cores best so, and the result does not depend on it.
demo-models: setup
	$(BIN)/memaudit demo --images-only --out build/demo
	OMP_NUM_THREADS=1 $(BIN)/memaudit train build/demo/images/members --out build/demo/overfit \
		--steps $(DEMO_STEPS) & \
	OMP_NUM_THREADS=1 $(BIN)/memaudit train build/demo/images/others --out build/demo/twin \
		--steps $(DEMO_STEPS) & \
	OMP_NUM_THREADS=1 $(BIN)/memaudit train build/demo/images/members --out build/demo/ambient \
		--loss ambient --sigma-n 0.4 --steps $(DEMO_STEPS) & \
	wait
	for name in overfit twin ambient; do \
		rm -rf memaudit/demo/models/$$name && mkdir -p memaudit/demo/models/$$name && \
		cp -r build/demo/$$name/model_index.json build/demo/$$name/unet build/demo/$$name/scheduler \
			memaudit/demo/models/$$name/; \
	done
	cp -r build/demo/ambient/ambient.json build/demo/ambient/noisy memaudit/demo/models/ambient/

benchmark: setup benchmark-data
	$(BIN)/python benchmarks/demo.py
	$(BIN)/python benchmarks/throughput.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/reading.py
	$(BIN)/python benchmarks/calibration_speed.py
	$(BIN)/python benchmarks/validity.py
	$(BIN)/python benchmarks/validity_copies.py
	$(BIN)/python benchmarks/calibration.py photos clothes
	$(BIN)/python benchmarks/rare.py
	$(BIN)/python benchmarks/inference.py

# Fashion-MNIST (MIT) out of Debian's package, emoji (MIT) out of an npm package; both are unpacked
# without being installed.
DATA := benchmarks/data
FASHION := $(DATA)/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz
ICONS := $(DATA)/icons/package/package.json
benchmark-data: $(FASHION) $(ICONS)
$(FASHION):
	mkdir -p $(DATA)
	cd $(DATA) && apt-get download dataset-fashion-mnist && dpkg-deb -x dataset-fashion-mnist_*.deb .
$(ICONS):
	mkdir -p $(DATA)/icons
	cd $(DATA)/icons && npm pack --silent @lobehub/fluent-emoji-3d && tar -xzf *.tgz

# One thread each: two trainings share two cores best so, and the result does not depend on it.
benchmark-models: setup benchmark-data
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/models.py photos-choice photos-report \
		photos-report-1000 photos-report-2000 icons-report-1000 & \
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/models.py icons-choice icons-report \
		icons-report-2000 clothes-report & \
	wait
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/inpainting.py & \
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/families.py & \
	wait

clean:
	rm -rf .venv build memaudit-demo
