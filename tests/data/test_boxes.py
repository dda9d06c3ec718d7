"""Files of boxes: COCO and tables."""

import json
from pathlib import Path

import pandas as pd
import pytest

from memaudit.data.boxes import Box, Boxed, read_boxes
from memaudit.errors import DataError

ONE, TWO = [1, 2, 3, 4], [0.5, 0, 10, 20]
READ = {"a.png": [Box(1, 2, 3, 4), Box(0.5, 0, 10, 20)], "b/c.png": []}


def coco(folder: Path, **changes: object) -> Path:
    content = {
        "images": [
            {"id": 7, "file_name": "a.png", "width": 40, "height": 30},
            {"id": 8, "file_name": "b/c.png"},
        ],
        "annotations": [{"image_id": 7, "bbox": ONE}, {"image_id": 7, "bbox": TWO, "id": 3}],
    }
    path = folder / "boxes.json"
    path.write_text(json.dumps(content | changes), "utf-8")
    return path


def test_coco_is_read_with_the_sizes_that_it_says(tmp_path):
    assert read_boxes(coco(tmp_path)) == {
        "a.png": Boxed(READ["a.png"], (40.0, 30.0)),
        "b/c.png": Boxed([], None),
    }


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("column", ["bbox", "boxes"])
def test_a_table_is_read(tmp_path, kind, column):
    path = tmp_path / f"boxes.{kind}"
    rows = [("a.png", [ONE, TWO]), ("b/c.png", [])]
    if kind == "csv":
        cells = [(name, json.dumps(boxes)) for name, boxes in rows]
        pd.DataFrame(cells, columns=["file_name", column]).to_csv(path, index=False)
    elif kind == "jsonl":
        lines = [json.dumps({"file_name": name, column: boxes}) for name, boxes in rows]
        path.write_text("\n".join(lines), "utf-8")
    else:
        pd.DataFrame(rows, columns=["file_name", column]).to_parquet(path)
    assert {name: found.boxes for name, found in read_boxes(path).items()} == READ


def test_objects_as_data_sets_of_the_hub_have_them(tmp_path):
    path = tmp_path / "metadata.jsonl"
    row = {"file_name": "a.png", "objects": {"bbox": [ONE, TWO], "categories": [0, 1]}}
    path.write_text(json.dumps(row), "utf-8")
    assert read_boxes(path)["a.png"].boxes == READ["a.png"]


def test_a_row_may_lack_its_boxes(tmp_path):
    path = tmp_path / "boxes.jsonl"
    rows = [{"file_name": "d.png"}, {"file_name": "a.png", "bbox": ONE}, {"file_name": "e.png"}]
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    found = {name: len(one.boxes) for name, one in read_boxes(path).items()}
    assert found == {"a.png": 1, "d.png": 0, "e.png": 0}


def test_one_box_a_row_and_several_rows_an_image(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text('file_name,bbox\na.png,"[1, 2, 3, 4]"\na.png,"[0.5, 0, 10, 20]"\nd.png,\n')
    assert {name: found.boxes for name, found in read_boxes(path).items()} == {
        "a.png": READ["a.png"],
        "d.png": [],
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": 3}, "is no COCO: expected lists `images` and `annotations`"),
        ({"images": [{"id": 7}]}, "image 1 of .* has no `id` or no text in `file_name`"),
        (
            {"images": [{"id": 7, "file_name": "a.png"}, {"id": 7, "file_name": "b.png"}]},
            "image 2 of .* has the `id` of another, 7",
        ),
        ({"annotations": [{"image_id": 9, "bbox": ONE}]}, "annotation 1 of .* is of image 9"),
        ({"annotations": [{"image_id": [], "bbox": ONE}]}, r"is of image \[\], which it lacks"),
        ({"annotations": [{"image_id": 7}]}, "has no box but 'None'; expected x, y, width and"),
        ({"annotations": [{"image_id": 7, "bbox": [1, 2, 3]}]}, "has no box"),
        ({"annotations": [{"image_id": 7, "bbox": [1, 2, 0, 4]}]}, "sides above 0"),
        ({"annotations": [{"image_id": 7, "bbox": "1 2 3 4"}]}, "has no box"),
    ],
)
def test_coco_with_a_fault_is_refused_by_the_place_of_it(tmp_path, changes, said):
    with pytest.raises(DataError, match=said):
        read_boxes(coco(tmp_path, **changes))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("boxes.txt", "", "is no file of boxes: expected COCO as .json, or a table"),
        ("boxes.json", "{", "cannot be read as boxes"),
        ("boxes.csv", "file_name,text\na.png,b\n", "has none of the columns bbox, boxes, objects"),
        ("boxes.csv", "name,bbox\na.png,b\n", "has no column `file_name`"),
        ("boxes.csv", "file_name,bbox\na.png,left\n", "row 1 of .* has no box but 'left'"),
        ("boxes.jsonl", '{"file_name": 3, "bbox": []}', "row 1 of .* has no text in `file_name`"),
        ("boxes.parquet", "PAR1", "cannot be read as boxes"),
    ],
)
def test_other_files_are_refused(tmp_path, name, text, said):
    path = tmp_path / name
    path.write_text(text, "utf-8")
    with pytest.raises(DataError, match=said):
        read_boxes(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read as boxes"):
        read_boxes(tmp_path / "none.json")
