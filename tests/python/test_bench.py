"""The bench's yardstick keeps the same promises: the same files make the same tables, and a difference is seen."""

import sys

import duckdb
import pytest
from warehouse import DATABASE, Project, Warehouse

from bench import baseline
from bench.__main__ import compare
from bench.data import KEYS, write_file
from bench.measure import run

SIZE = 2_000


@pytest.mark.parametrize("keys", KEYS)
def test_the_yardstick_makes_the_same_tables(project: Project, tmp_path, keys: str) -> None:
    warehouse = Warehouse(project, tmp_path / "warehouse")
    theirs = tmp_path / "theirs.duckdb"
    for day in range(3):
        file = write_file(warehouse.root, day, day * SIZE, SIZE, keys)
        baseline.load(theirs, warehouse.root, file)
        assert not warehouse.build().red
    compare(warehouse.folder / DATABASE, theirs)

    overtaken = warehouse.query("select min(superseded_rows) from prod.load_ledger where file_date < '2024-01-03'")
    assert overtaken > [(10,)]
    with duckdb.connect(str(theirs)) as connection:
        connection.execute("update prod.daily_sales set quantity = quantity + 1 where source_record = 7")
    with pytest.raises(RuntimeError, match=r"prod\.daily_sales differs"):
        compare(warehouse.folder / DATABASE, theirs)


def test_the_memory_of_a_command_is_its_own(tmp_path) -> None:
    """Not that of the bench, which may have held more, as here."""
    ballast = bytearray(400 << 20)
    ballast[:: 1 << 12] = b"x" * len(ballast[:: 1 << 12])
    small, large = (run([sys.executable, "-c", f"x = b'x' * ({mb} << 20)"], {}, tmp_path).memory for mb in (1, 100))
    assert small < 60
    assert 80 < large - small < 120
    with pytest.raises(RuntimeError, match="ended with 3:\nno luck"):
        run([sys.executable, "-c", "print('no luck'); exit(3)"], {}, tmp_path)
