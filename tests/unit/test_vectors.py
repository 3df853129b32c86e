"""Vector columns: every element within its bound, whatever codes them, and the same integers everywhere."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ae_core
from ae_core import pipeline
from ae_core.codec import Codec
from ae_core.coder.payload import pack_streams, unpack_streams
from ae_core.columns import build_plan, check_block, encode_columns
from ae_core.columns.same import equal_cells
from ae_core.errors import BoundViolated, Corrupt, PolicyError
from ae_core.fitting import train_codec
from ae_core.jobs.plan import ranged_columns
from ae_core.lake import BLOCK_ROWS, block_rows, row_cells
from ae_core.policy import Bound, Policy, ResolvedPolicy, load_policy, psnr_share, resolve
from ae_core.report.losses import LossAccumulator
from ae_core.vector_columns import vector_guesses
from ae_core.vector_fitting import find_coder
from ae_core.vector_types import element_type, elements_of, vectors_from
from ae_core.vectors import FrozenVectors, cells_of, encode_cells, predict_cells
from ae_core.vectors.network import LATENT_LEVELS
from flows.cli.app import run
from tests.golden import reader

LIST = pa.list_(pa.float32(), 6)
GOLDEN = Path(reader.__file__).parents[1] / "format-0" / "vectors" / "archive"
ABS = Bound("abs", Fraction(1, 20))


def lists(rows: int, seed: int = 0) -> pa.Array:
    random = np.random.default_rng(seed)
    cells = (random.normal(0, 1, (rows, 2)) @ np.random.default_rng(1).normal(0, 1, (2, 6))).astype(np.float32)
    return pa.FixedSizeListArray.from_arrays(pa.array(cells.ravel()), type=LIST)


def odd_lists(rows: int) -> pa.Array:
    """Null slots, null elements, and floats that are no numbers."""
    cells = np.array(elements_of(lists(rows))[1])
    cells[7:12] = [np.nan, np.inf, -np.inf, -0.0, 1e30]
    elements = pa.array(cells, mask=np.arange(len(cells)) % 17 == 16)
    return pa.FixedSizeListArray.from_arrays(elements, type=LIST, mask=pa.array(np.arange(rows) % 9 == 8))


def images(rows: int) -> pa.Array:
    random, (y, x) = np.random.default_rng(2), np.mgrid[0:5, 0:6]
    cells = 100 + 12 * y * random.normal(0, 1, (rows, 1, 1)) + 9 * x * random.normal(0, 1, (rows, 1, 1))
    return pa.FixedShapeTensorArray.from_numpy_ndarray(np.clip(cells, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def trained() -> tuple[Codec, pa.Table, ResolvedPolicy]:
    """A table whose two vector columns have an autoencoder each."""
    table = pa.table({"v": lists(150), "image": images(150)})
    policy = ResolvedPolicy({"v": ABS, "image": Bound("abs", ABS.value * 60)})
    codec, _ = train_codec(table.schema, [table], policy, rows_served=150, latents="always")
    assert all(coder.network is not None for coder in codec.vectors.values())
    assert len(codec.vectors) == 2
    return codec, table, policy


def rebuilt(codec: Codec, table: pa.Table) -> pa.Table:
    block = pipeline.encode_block(codec, table)
    return pipeline.decode_block(codec, block.latents, block.residuals, table.num_rows)


@pytest.mark.parametrize("array", [odd_lists(40), lists(30)[3:9], lists(0), pa.nulls(4, LIST), images(5)])
def test_vectors_come_apart_and_together(array):
    valid, elements = elements_of(array)
    assert elements.type == element_type(array.type)
    assert equal_cells(vectors_from(array.type, valid, elements), array).all()


def test_what_the_sample_never_had_keeps_its_bound(trained):
    codec, table, policy = trained
    odd = pa.table({"v": odd_lists(40), "image": table["image"].combine_chunks()[:40]})
    for block in (table, odd, table.slice(0, 1), table.slice(0, 0)):
        check_block(policy, block, rebuilt(codec, block))


def test_a_model_read_back_gives_the_same_bytes_and_rows(trained):
    codec, table, _ = trained
    again = Codec.from_bytes(codec.to_bytes())
    assert again.to_bytes() == codec.to_bytes()
    assert pipeline.encode_block(again, table) == pipeline.encode_block(codec, table)
    check_block(
        ResolvedPolicy(dict.fromkeys(table.column_names, Bound("exact"))), rebuilt(codec, table), rebuilt(again, table)
    )


def test_one_column_alone_is_the_same(trained):
    codec, table, _ = trained
    block = pipeline.encode_block(codec, table)
    alone = pipeline.decode_block(codec, block.latents, block.residuals, table.num_rows, ["image"])
    assert alone.equals(rebuilt(codec, table).select(["image"]))


def test_sums_are_those_of_unbounded_integers():
    """What numba does in 32 bits equals the page's formulas in Python's integers, at the edge of an image too."""
    random, cells, levels = np.random.default_rng(3), cells_of((5, 6)), 200
    d, size, hidden = 3, cells.size, 4

    def some(*shape):
        return random.integers(-300, 300, shape)

    t = {
        "mean": random.integers(0, 150, size),
        "scale": random.integers(1, 40, size),
        "E": some(size, d),
        "e": np.full(d, 64 << 18),
        "P": some(9 * d, hidden),
        "p": some(hidden),
        "D": some(9 * d, size),
        "V": some(hidden, size),
        "b": some(size),
    }
    net = FrozenVectors({k: v.astype(np.int16 if k in "EPDV" else np.int32) for k, v in t.items()})
    net.check(cells)
    codes = random.integers(0, levels + 2, (4, 30)).astype(np.int64)
    z = encode_cells(net, cells, codes, levels)
    for row, cell in np.ndindex(z.shape[:2]):
        v = [
            0 if p < 0 or codes[row, p] >= levels else max(-2047, min(2047, (int(codes[row, p] - m) << 8) // int(s)))
            for p, m, s in zip(cells.places[cell], t["mean"], t["scale"], strict=True)
        ]
        told = [
            (sum(a * int(w) for a, w in zip(v, t["E"][:, i], strict=True)) + int(t["e"][i]) + 2**17) >> 18
            for i in range(d)
        ]
        assert z[row, cell].tolist() == [max(0, min(LATENT_LEVELS - 1, one)) for one in told]
    found = predict_cells(net, cells, z, levels)
    for row, cell in np.ndindex(z.shape[:2]):
        k = [int(one) - 64 if n >= 0 else 0 for n in cells.neighbours[cell] for one in z[row, n]]
        h = [
            max(
                0, min(255, (sum(a * int(w) for a, w in zip(k, t["P"][:, i], strict=True)) + int(t["p"][i]) + 128) >> 8)
            )
            for i in range(hidden)
        ]
        for at, place in enumerate(cells.places[cell]):
            o = sum(a * int(w) for a, w in zip(k, t["D"][:, at], strict=True)) + int(t["b"][at])
            o += sum(a * int(w) for a, w in zip(h, t["V"][:, at], strict=True))
            moved = (max(-(2**17), min(2**17, o)) * int(t["scale"][at]) + 2**12) >> 13
            assert place < 0 or found[row, place] == max(0, min(levels - 1, int(t["mean"][at]) + moved))


def test_a_network_whose_sums_could_leave_32_bits_is_refused(trained):
    codec, _, _ = trained
    coder = codec.vectors[0]
    for name, value in (("V", 32767), ("E", 32767), ("scale", 0), ("mean", -1)):
        tensors = {key: tensor.copy() for key, tensor in coder.network.tensors.items()}
        tensors[name][:] = value
        if name == "V":
            tensors["b"][:] = 2**31 - 1
        if name == "E":
            tensors["e"][:] = 2**31 - 1
        with pytest.raises(Corrupt):
            FrozenVectors(tensors).check(coder.cells)


@pytest.mark.parametrize("name", ["0:z", "0:elements", "1:elements"])
def test_damaged_streams_are_damage_or_a_table(trained, name):
    codec, table, _ = trained
    block = pipeline.encode_block(codec, table)
    streams = unpack_streams(block.residuals)
    for data in (b"", streams[name][:3], streams[name][:-1], streams[name] + b"\0", bytes(len(streams[name]))):
        try:
            payload = pack_streams(streams | {name: data})
            found = pipeline.decode_block(codec, block.latents, payload, table.num_rows)
        except Corrupt:
            continue
        assert (found.schema, found.num_rows) == (table.schema, table.num_rows)


@pytest.mark.parametrize("shape", [(7,), (1500,), (5, 6), (17, 9), (6, 5, 3), (5, 4, 6), (2, 3, 5, 4)])
def test_every_element_is_in_one_cell(shape):
    cells = cells_of(shape)
    there = cells.places[cells.places >= 0]
    assert sorted(there.tolist()) == list(range(int(np.prod(shape))))
    assert cells.neighbours[:, cells.around // 2].tolist() == list(range(cells.count))


@pytest.mark.parametrize("kind", [LIST, pa.list_(pa.int16(), 1100)])
def test_the_page_s_reader_agrees_where_there_is_no_autoencoder(kind):
    """Golden archives have vectors with one, and none longer than 1024."""
    rows = 90 if kind == LIST else 3
    array = lists(rows) if kind == LIST else pa.array((np.arange(3300) // 7 % 11).reshape(3, -1).tolist(), kind)
    table, policy = pa.table({"v": array}), ResolvedPolicy({"v": ABS})
    plan = build_plan(table.schema, [table], policy)
    domain, codes = plan.columns[0].elements.domain, encode_columns(plan, table).vectors[0].reshape(rows, -1)
    shape = (kind.list_size,)
    codec = Codec(plan, None, vectors={0: find_coder(shape, domain.levels, domain.size, codes, None)})
    block = pipeline.encode_block(codec, table)
    found = reader.Block(reader.read_model(codec.to_bytes()), b"", block.residuals, rows).table()
    assert equal_cells(found["v"].combine_chunks(), rebuilt(codec, table)["v"].combine_chunks()).all()


def test_an_element_beyond_its_bound_is_found():
    array = lists(3)
    cells = np.array(elements_of(array)[1])
    cells[10] += 0.06
    moved = pa.FixedSizeListArray.from_arrays(pa.array(cells), type=LIST)
    schema = pa.schema([("v", LIST)])
    with pytest.raises(BoundViolated, match="row 1"):
        check_block(ResolvedPolicy({"v": ABS}), pa.table([array], schema), pa.table([moved], schema))
    losses = LossAccumulator(schema, {"v": ABS})
    losses.add(pa.table([array], schema), pa.table([moved], schema))
    (found,) = losses.finish().columns
    assert (found.rows, found.changed, found.outside) == (3, 1, 1)
    assert found.max_ratio > 1


def test_bounds_of_vectors():
    schema = pa.schema([("v", LIST), ("words", pa.list_(pa.string(), 2)), ("many", pa.list_(pa.float32()))])
    policy = Policy.model_validate(
        {"version": 1, "default": {"float": {"range": 0.5}}, "columns": {"v": {"range": 0.01}}}
    )
    bounds = resolve(policy, schema, {"v": (-1.0, 3.0)}).bounds
    assert (str(bounds["v"].value), bounds["many"].exact) == ("1/25", True)
    assert (
        resolve(Policy(version=1, default={"float": {"range": 0.5}}), schema, {}).bounds["v"].exact
    )  # its own rule only
    for name in ("words", "many"):
        with pytest.raises(PolicyError, match="no lossy form"):
            resolve(Policy.model_validate({"version": 1, "columns": {name: {"abs": 1}}}), schema, {})


def test_a_psnr_is_a_largest_error_that_keeps_it():
    """In whole numbers: (error / peak)^20 times 10^dB is at most 1, and above it for an error a hair larger."""
    for decibels in range(401):
        share = psnr_share(Fraction(decibels))
        assert share**20 * 10**decibels <= 1 < (share * (1 + Fraction(1, 10**28))) ** 20 * 10**decibels
    assert psnr_share(Fraction(20)) == Fraction(1, 10)
    assert psnr_share(Fraction("40.05")) < psnr_share(Fraction(40))


def test_a_psnr_is_kept_by_all_and_by_each():
    array = lists(200)
    cells = np.array(elements_of(array)[1])
    written = Policy.model_validate({"version": 1, "columns": {"v": {"psnr": 42.5}}})
    assert Policy.model_validate(written.model_dump(mode="json")) == written
    table, ends = pa.table({"v": array}), (float(cells.min()), float(cells.max()))
    assert ranged_columns(written, table.schema) == ["v"]
    policy = resolve(written, table.schema, {"v": ends})
    codec, _ = train_codec(table.schema, [table], policy, rows_served=200)
    found = np.array(elements_of(rebuilt(codec, table)["v"].combine_chunks())[1])
    peak = Fraction(ends[1]) - Fraction(ends[0])
    wrong = [(Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(cells, found, strict=True)]
    assert any(wrong)
    for part in (wrong, *(wrong[at : at + 6] for at in range(0, len(wrong), 6))):
        assert (sum(part) / len(part)) ** 20 * 10**85 <= (peak**2) ** 20  # 42.5 dB, twice for a square


@pytest.mark.parametrize(
    ("rule", "problem"),
    [({"psnr": -1}, "must not be negative"), ({"psnr": 401}, "at most 400"), ({"psnr": "loud"}, "must be a number")],
)
def test_a_psnr_that_is_none_is_refused(rule, problem):
    with pytest.raises(PolicyError, match=problem):
        load_policy(f"version: 1\ncolumns: {{v: {rule}}}")


def test_a_psnr_is_for_vectors():
    policy = Policy.model_validate({"version": 1, "columns": {"x": {"psnr": 40}}})
    with pytest.raises(PolicyError, match="vectors and images: use abs or range"):
        resolve(policy, pa.schema([("x", pa.float64())]), {"x": (0.0, 1.0)})


def test_no_value_of_a_sensitive_vector_enters_the_model():
    table = pa.table({"v": lists(60)})
    policy = ResolvedPolicy({"v": Bound("abs", ABS.value, sensitive=True)})
    codec, _ = train_codec(table.schema, [table], policy, rows_served=60, latents="always")
    other = pa.table({"v": lists(60, seed=5)})
    assert (
        codec.to_bytes() == train_codec(other.schema, [other], policy, rows_served=60, latents="always")[0].to_bytes()
    )
    check_block(policy, table, rebuilt(codec, table))


def test_blocks_of_long_vectors_have_few_rows():
    assert block_rows(row_cells(pa.schema([("a", pa.int64())]))) == BLOCK_ROWS
    assert block_rows(row_cells(pa.schema([("v", pa.list_(pa.uint8(), 3072))]))) * 3072 <= 1 << 22


def test_a_lake_of_vectors_as_a_user_has_it(tmp_path):
    table = pa.table({"id": range(60), "v": odd_lists(60), "image": images(60)})
    (tmp_path / "lake").mkdir()
    pq.write_table(table, tmp_path / "lake" / "a.parquet")
    (tmp_path / "p.yaml").write_text("version: 1\ncolumns: {v: {range: 0.01}, image: {abs: 2}}\n")
    ae_core.compress(str(tmp_path / "lake"), str(tmp_path / "archive"), policy=str(tmp_path / "p.yaml"))
    (partition,) = ae_core.open_archive(str(tmp_path / "archive")).partitions()
    found = pa.concat_tables(partition.blocks())
    assert found["id"].equals(table["id"])
    error = np.abs(np.stack(found["image"].to_pylist()) - np.stack(table["image"].to_pylist()).astype(int))
    assert 0 < error.max() <= 2
    assert {c.loss.name for c in partition.certificate.columns if c.loss.outside} == set()
    assert build_plan(table.schema, [table], ResolvedPolicy({n: Bound("exact") for n in table.column_names}))


def test_latents_alone_give_the_vectors_back_nearly(tmp_path):
    """Of the golden archive: slots are null as they were, elements never, and nearer than the mean by far."""
    ae_core.decode(str(GOLDEN), str(tmp_path / "near"), layer="preview", where="month=1")
    near = pa.concat_tables(pq.ParquetFile(path).read() for path in sorted((tmp_path / "near").rglob("*.parquet")))
    (partition,) = ae_core.open_archive(str(GOLDEN)).partitions("month=1")
    assert partition.left_out("preview") == ("noise", "secret")
    bounded = pa.concat_tables(partition.blocks())
    for name in ("spot", "thumb", "colour"):
        told, cells = (elements_of(table[name].combine_chunks()) for table in (near, bounded))
        assert (told[0] is None) == (cells[0] is None)
        assert told[0] is None or np.array_equal(told[0], cells[0])
        assert told[1].null_count == 0
        known = np.asarray(cells[1].is_valid()) & np.isfinite(np.asarray(cells[1].fill_null(0), np.float64))
        one, other = (np.asarray(part[1].fill_null(0), np.float64)[known] for part in (told, cells))
        error, spread = np.abs(one - other).mean(), np.abs(other - other.mean()).mean()
        assert 0 < error < spread / 5
        (column,) = [column for column in partition.certificate.columns if column.name == name]
        assert 0 < column.preview.mean_error < column.preview.naive_error / 5
    alone = next(partition.blocks(layer="preview", columns=["thumb"]))
    assert alone["thumb"].combine_chunks().equals(near["thumb"].combine_chunks())


def test_a_preview_of_no_rows_has_the_vectors_columns(trained):
    codec, _, _ = trained
    assert vector_guesses(codec.vectors, {}, 0, [0, 1])[0].size == 0
    with pytest.raises(Corrupt, match="missing"):
        vector_guesses(codec.vectors, {}, 3, [0])


@pytest.mark.parametrize("command", [["show", "month=1"], ["audit"]])
def test_decibels_are_told_of_vectors_that_lost_something(command, capsys):
    assert run([command[0], str(GOLDEN), *command[1:]]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if "PSNR" in line]
    assert [line.partition(":")[0] for line in told] == ["spot", "thumb", "colour", "secret"]
    assert all(float(line.partition("PSNR ")[2].partition(" dB")[0]) > 20 for line in told)
