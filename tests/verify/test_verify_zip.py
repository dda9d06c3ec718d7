"""An evidence.zip is held to its checksums, whatever it says; nothing of it is unpacked."""

import io
import json
import os
import random
import struct
import subprocess
import zipfile
from hashlib import sha256

import pytest

from memaudit.comparison.report import report
from memaudit.config import ReportConfig, VerifyConfig
from memaudit.errors import InputError, RunDirectoryError
from memaudit.run.archive import MODE, pack, unpack
from memaudit.run.sums import Sums, read_sums, write_sums
from memaudit.verify.pipeline import verify
from memaudit.verify.zipped import check_zip

FLIPS = 150  # of the whole, and as many of its end


def rewritten(evidence, path, **changes):
    """Pack a zip again with other contents; None leaves a file out."""
    names = {name.replace("_", "."): content for name, content in changes.items()}
    files = {**unpack(evidence.read_bytes()).files, **names}
    path.write_bytes(pack({name: one for name, one in files.items() if one is not None}))
    return path


def named(checked):
    return [(one.kind, one.name) for one in checked.differences]


def test_an_evidence_zip_holds_what_a_reviewer_needs_and_the_same_bytes_each_time(
    evidence, finished, tmp_path
):
    checked = check_zip(evidence)
    assert checked.passes
    files = unpack(evidence.read_bytes()).files
    strips = [name for name in files if name.startswith("images/")]
    assert len(strips) == 6
    assert {name for name in files if name not in strips} == {
        *("README.txt", "SHA256SUMS", "report.html", "findings.csv", "errors.csv", "scan.json"),
        *("summary.txt", "provenance.txt", "run.json", "prepared.json", "manifest.json"),
    }
    for name in ("scan.json", "findings.csv", *strips):
        assert files[name] == (finished.run / name).read_bytes()
    report(ReportConfig(runs=(str(finished.run),), out=str(tmp_path), evidence=True))
    assert (tmp_path / "evidence.zip").read_bytes() == evidence.read_bytes()


def test_the_digest_of_the_run_is_in_readme_list_and_report(evidence, finished):
    files = unpack(evidence.read_bytes()).files
    for name in ("README.txt", "SHA256SUMS", "report.html", "provenance.txt"):
        assert finished.digest.encode() in files[name]
    assert sha256(files["manifest.json"]).hexdigest() == finished.digest
    checked = check_zip(evidence)
    for digest, what in ((finished.digest, "the run"), (checked.digests[1].value, "the zip")):
        assert checked.against(digest).given == what
    assert named(checked.against("0" * 64)) == [("changed", "digest")]


def test_sha256sum_checks_what_other_programs_unpack(evidence, tmp_path):
    with zipfile.ZipFile(evidence) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    command = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    subprocess.run(command, cwd=tmp_path, check=True)


def test_one_turned_bit_anywhere_is_found(evidence, tmp_path):
    data, rng, path = evidence.read_bytes(), random.Random(0), tmp_path / "evidence.zip"
    end = len(data) - 2500  # the list of files, and the last of them
    spots = [rng.randrange(len(data)) for _ in range(FLIPS)]
    spots += [rng.randrange(end, len(data)) for _ in range(FLIPS)]
    spots += [*range(40), *range(len(data) - 22, len(data))]
    refused = 0
    for at in spots:
        path.write_bytes(data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :])
        try:
            assert check_zip(path).differences, f"byte {at}"
        except RunDirectoryError:
            refused += 1  # its list of files makes no sense any more
    assert refused < len(spots) / 2


def test_a_turned_bit_in_a_file_names_that_file_alone(evidence, tmp_path):
    data, path = evidence.read_bytes(), tmp_path / "evidence.zip"
    with zipfile.ZipFile(evidence) as archive:
        starts = {one.filename: one.header_offset + 30 + len(one.filename) for one in
                  archive.infolist() if one.file_size}  # fmt: skip
    for name, at in starts.items():
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        assert ("changed", name) in named(check_zip(path))
    for name in starts.keys() - {"SHA256SUMS", "manifest.json"}:
        at = starts[name]
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        assert named(check_zip(path)) == [("changed", name)]


def test_files_that_were_changed_added_or_left_out_are_named(evidence, tmp_path):
    path = tmp_path / "evidence.zip"
    changes = {"findings_csv": b"other", "errors_csv": None, "more_txt": b"more"}
    assert named(check_zip(rewritten(evidence, path, **changes))) == [
        ("missing", "errors.csv"),
        ("changed", "findings.csv"),
        ("extra", "more.txt"),
    ]


def test_a_rewritten_list_does_not_hide_a_change_from_the_manifest_nor_that_from_the_digest(
    evidence, finished, tmp_path
):
    path, files = tmp_path / "evidence.zip", unpack(evidence.read_bytes()).files
    other, before = b"other\n", sha256(files["findings.csv"]).hexdigest()
    sums = read_sums(files["SHA256SUMS"])
    listed = {**sums.files, "findings.csv": sha256(other).hexdigest()}
    lists = write_sums(Sums(listed, sums.remarks))
    rewritten(evidence, path, findings_csv=other, SHA256SUMS=lists)
    assert named(check_zip(path)) == [("changed", "findings.csv")]
    manifest = files["manifest.json"].replace(before.encode(), sha256(other).hexdigest().encode())
    digest = sha256(manifest).hexdigest()
    lists = write_sums(Sums({**listed, "manifest.json": digest}, sums.remarks))
    rewritten(evidence, path, findings_csv=other, manifest_json=manifest, SHA256SUMS=lists)
    assert named(check_zip(path)) == [("changed", "SHA256SUMS")]  # it states the old digest
    lists = write_sums(Sums({**listed, "manifest.json": digest}, (f"digest of the run: {digest}",)))
    rewritten(evidence, path, findings_csv=other, manifest_json=manifest, SHA256SUMS=lists)
    assert check_zip(path).passes
    assert not check_zip(path).against(finished.digest).passes


def test_a_redacted_zip_tells_nothing_that_is_private(redacted, finished):
    assert check_zip(redacted).against(finished.digest).given == "the run"
    assert check_zip(redacted).digests[0].stated
    archive = unpack(redacted.read_bytes())
    assert sorted(archive.files) == [
        *("README.txt", "SHA256SUMS", "findings.csv", "provenance.txt", "report.html"),
        *("scan.json", "summary.txt"),
    ]
    record = json.loads((finished.run / "scan.json").read_text())
    rows = (finished.run / "findings.csv").read_text().split("\n")[1:-1]
    private = ["secret", str(finished.run.parent), finished.run.parent.name]
    private += [record["prepared"]["data"]["fingerprint"], os.uname().nodename]
    private += [row[:12] for row in rows]
    assert len(private) == 5 + len(rows) == 55
    told = redacted.read_bytes().decode("latin-1")
    assert [one for one in private if one in told] == []
    assert "<img " not in told
    assert "\x89PNG" not in told


def test_the_same_key_makes_the_same_redacted_zip(finished, tmp_path):
    (tmp_path / "key").write_bytes(b"0123456789abcdef")
    made = []
    for name in ("one", "other"):
        config = ReportConfig(
            runs=(str(finished.run),), out=str(tmp_path / name), evidence=True, redact=True,
            redact_key=str(tmp_path / "key"),
        )  # fmt: skip
        report(config)
        made.append((tmp_path / name / "evidence.zip").read_bytes())
    assert made[0] == made[1]


def test_several_runs_have_a_folder_each(finished, run, tmp_path):
    both = (str(finished.run), str(run))
    report(ReportConfig(runs=both, out=str(tmp_path / "both"), evidence=True))
    checked = check_zip(tmp_path / "both" / "evidence.zip")
    assert checked.passes
    assert [one.of for one in checked.digests] == [
        "the run in run-1",
        "the run in run-2",
        "the zip",
    ]
    assert checked.digests[0].value == checked.digests[1].value == finished.digest


def test_a_run_that_was_changed_is_no_evidence(run, tmp_path):
    (run / "summary.txt").write_text("nothing was found")
    with pytest.raises(RunDirectoryError, match=r"is not as it was sealed \(summary.txt changed\)"):
        report(ReportConfig(runs=(str(run),), out=str(tmp_path / "out"), evidence=True))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("which", ["evidence", "redacted"])
def test_what_was_unpacked_is_checked_too(which, request, finished, tmp_path):
    with zipfile.ZipFile(request.getfixturevalue(which)) as archive:
        archive.extractall(tmp_path)
    checked = verify(VerifyConfig(run=str(tmp_path), digest=finished.digest))
    assert (checked.passes, checked.given, checked.what) == (True, "the run", "evidence")
    (tmp_path / "report.html").write_bytes(b"other")
    (tmp_path / "summary.txt").unlink()
    (tmp_path / "notes.txt").write_bytes(b"")
    assert named(verify(VerifyConfig(run=str(tmp_path)))) == [
        ("extra", "notes.txt"),
        ("changed", "report.html"),
        ("missing", "summary.txt"),
    ]


def test_an_unpacked_zip_with_a_device_in_it_is_refused(evidence, tmp_path):
    with zipfile.ZipFile(evidence) as archive:
        archive.extractall(tmp_path)
    (tmp_path / "images" / "endless.png").symlink_to("/dev/zero")
    with pytest.raises(RunDirectoryError, match="a pipe, socket or device"):
        verify(VerifyConfig(run=str(tmp_path)))


def zipped(*entries, compression=zipfile.ZIP_STORED, mode=MODE):
    """A zip with entries (name, content) as other programs write them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries:
            info = zipfile.ZipInfo(name)
            info.compress_type, info.external_attr = compression, mode << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def encrypted():
    data = bytearray(zipped(("a.txt", b"a")))
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def twice():
    return zipped(("a.txt", b"a"), ("b.txt", b"a")).replace(b"b.txt", b"a.txt")


def overlapping():
    """Entries that all claim the bytes of the first."""
    data = zipped(*((f"{k:03d}.txt", b"x" * 10_000 * (k == 0)) for k in range(100)))
    parts = data.split(b"PK\x01\x02")
    first = struct.pack("<LL", 10_000, 10_000)
    body = [one[:16] + first + one[24:] for one in parts[1:]]
    return b"PK\x01\x02".join([parts[0], *body])


def many():
    return zipped(*((f"{k}", b"") for k in range(21_000)))


def many_unsaid():
    """A list of many files, whose number is said to be small."""
    data = bytearray(many())
    data[-14:-10] = struct.pack("<HH", 10, 10)
    return bytes(data)


HOSTILE = {
    "bomb": (lambda: zipped(("a", b"\0" * 10_000_000), compression=zipfile.ZIP_DEFLATED), "compr"),
    "outside": (lambda: zipped(("../a", b"a")), "no plain name"),
    "absolute": (lambda: zipped(("/a", b"a")), "no plain name"),
    "drive": (lambda: zipped(("C:\\a", b"a")), "no plain name"),
    "hidden": (lambda: zipped((".bashrc", b"a")), "no plain name"),
    "folder": (lambda: zipped(("a/", b"")), "no plain name"),
    "long": (lambda: zipped(("a" * 60_000, b"")), "at most"),
    "escapes": (lambda: zipped(("a\x1b[2J", b"")), "no plain name"),
    "link": (lambda: zipped(("a", b"/etc/passwd"), mode=0o120777), "no regular file"),
    "encrypted": (encrypted, "encrypted"),
    "twice": (twice, "twice"),
    "overlapping": (overlapping, "larger together"),
    "many": (many, "21000 files"),
    "many unsaid": (many_unsaid, "list tells of 10 files"),
    "empty": (lambda: b"", "expected a zip"),
    "no zip": (lambda: b"\x89PNG" * 100, "does not end as a zip"),
    "comment": (lambda: zipped(("a", b""))[:-2] + b"\x02\x00ab", "does not end as a zip"),
    "before": (lambda: b"#!/bin/sh\n" + zipped(("a", b"")), "does not stand where"),
    "no list": (lambda: zipped(("a", b"")), "holds no SHA256SUMS"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_zip_is_refused_and_writes_nothing(name, tmp_path):
    make, said = HOSTILE[name]
    path = tmp_path / "evidence.zip"
    path.write_bytes(make())
    with pytest.raises(InputError, match=said):
        check_zip(path)
    assert [one.name for one in tmp_path.iterdir()] == ["evidence.zip"]


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.zip")
    with pytest.raises(RunDirectoryError, match="a pipe, socket or device"):
        check_zip(tmp_path / "pipe.zip")
