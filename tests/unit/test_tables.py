import os
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from lakehouse.schema import DAILY
from lakehouse.tables import FIGURES_HOURS, create_table, latest_version, tidy


def test_what_a_table_no_longer_uses_goes_by_its_age_and_the_checksums_with_it(tmp_path: Path) -> None:
    create_table(tmp_path, DAILY, description="test", kept_hours=FIGURES_HOURS)
    for number in range(3):
        write_deltalake(
            str(tmp_path), pa.table({"requests": pa.array([number], pa.int64())}), mode="overwrite", schema_mode="merge"
        )
        for path in [*tmp_path.glob("*.parquet"), *tmp_path.glob("_delta_log/*.json")]:
            path.with_name(f".{path.name}.crc").write_bytes(b"as Hadoop does")
    DeltaTable(str(tmp_path)).create_checkpoint()
    assert tidy(tmp_path, FIGURES_HOURS) == 0
    old_commits = [f"{version:020}.json" for version in range(3)]
    for path in tmp_path.rglob("*"):
        if path.is_file():
            os.utime(path, (0, 0))
    DeltaTable(str(tmp_path)).alter.set_table_properties({"delta.deletedFileRetentionDuration": "interval 0 seconds"})
    DeltaTable(str(tmp_path)).create_checkpoint()
    (live,) = DeltaTable(str(tmp_path)).file_uris()
    assert tidy(tmp_path, FIGURES_HOURS) == 2
    assert DeltaTable(str(tmp_path)).to_pyarrow_table(columns=["requests"]).to_pydict() == {"requests": [2]}
    data = {p.name for p in tmp_path.iterdir() if p.is_file()}
    assert data == {Path(live).name, f".{Path(live).name}.crc"}
    log = {p.name for p in (tmp_path / "_delta_log").iterdir()}
    assert not log & set(old_commits)
    assert not {name for name in log if name.endswith(".crc")}
    assert tidy(tmp_path, FIGURES_HOURS) == 0
    version = latest_version(tmp_path)
    assert tidy(tmp_path, FIGURES_HOURS) == 0
    assert latest_version(tmp_path) == version
