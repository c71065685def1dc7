"""Chains on a mesh: the bytes of a training step are those of its compiled program."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import pytest
from compiling import AS_USERS
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from mesh_bytes import KINDS, mesh_of, operand_bytes

import jconv
from jconv._cli import main as cli

pytestmark = pytest.mark.devices

LAYERS = [
    ("conv", {"name": "down", "features": 16, "kernel": 3, "stride": 2, "bias": True}),
    "relu",
    ("conv", {"name": "mid", "features": 16, "kernel": 3, "dilation": 2}),
    ("conv_transpose", {"name": "up", "features": 8, "kernel": 4, "stride": 2}),
    ("conv", {"name": "out", "features": 4, "kernel": (5, 1), "groups": 4}),
]
WIDE = [  # large enough that the planner leaves direct
    ("conv", {"name": "first", "features": 64, "kernel": 3}),
    "relu",
    ("conv", {"name": "second", "features": 64, "kernel": 3}),
]
CHANNELS = [
    ("conv", {"features": 8, "kernel": 3, "w_spec": (None, None, None, "b")}),
    "relu",
    ("conv", {"features": 4, "kernel": 3, "w_spec": (None, None, "b")}),
]
CASES = {
    "batch": ((8, 16, 16, 4), LAYERS, (8,), ("a",)),
    "batch and rows": ((4, 32, 16, 4), LAYERS, (2, 4), ("a", "b")),
    "rows and columns": ((2, 16, 32, 4), LAYERS, (2, 4), (None, "a", "b")),
    "channels": ((4, 16, 16, 4), CHANNELS, (2, 2), ("a",)),
    "wide": ((8, 32, 32, 32), WIDE, (2, 4), ("a", "b")),
}


def network(chain, parameters, x):
    """The chain's layers on arrays, for the kinds of layers that stand above."""
    for layer in chain.layers:
        if layer.kind == "relu":
            x = jax.nn.relu(x)
            continue
        plan, given = chain.plans[layer.name], parameters[layer.name]
        op = jconv.conv if plan.op == "conv" else jconv.conv_transpose
        x = op(x, given["w"], **plan.keywords)
        x = x + given["b"] if "b" in given else x
    return x


def moved(name):
    """The bytes that a chain's plan names, and those of its compiled training step."""
    x_shape, layers, shape, x_spec = CASES[name]
    if len(jax.devices()) < 8:
        pytest.skip("needs eight devices (jax_num_cpu_devices came too late)")
    mesh = mesh_of(shape, "Auto")
    chain = jconv.plan_chain(x_shape, layers, mesh=dict(mesh.shape), x_spec=x_spec, platform="cpu")

    def lying(shape, spec):
        return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, P(*spec)))

    parameters = {}
    for layer in chain.layers:
        if layer.name in chain.plans:
            given = {"w": lying(chain.plans[layer.name].w_shape, layer.get("w_spec") or ())}
            if layer.get("bias"):
                given["b"] = lying((layer.get("features"),), ())
            parameters[layer.name] = given

    def slope(parameters, x):
        y, pull = jax.vjp(lambda p: network(chain, p, x), parameters)
        return y, pull(y)[0]

    text = jax.jit(slope).lower(parameters, lying(x_shape, x_spec)).compile(AS_USERS).as_text()
    found = dict.fromkeys(KINDS, 0)
    for of_scope in operand_bytes(text).values():
        found = {kind: found[kind] + of_scope[kind] for kind in KINDS}
    read = {
        "permuted": found["collective-permute"],
        "reduced": found["all-reduce"],
        "gathered": found["all-gather"] + found["all-to-all"] + found["reduce-scatter"],
    }
    return chain, read


@pytest.mark.parametrize("name", CASES)
def test_bytes_of_a_training_step_are_those_of_the_program(name):
    chain, read = moved(name)
    assert chain.step == read
    assert sum(read.values()) > 0
    for kind in read:
        assert chain.step[kind] == sum(getattr(layer, kind) for layer in chain.devices.values())


def test_the_planner_leaves_direct_in_the_wide_chain():
    x_shape, layers, shape, x_spec = CASES["wide"]
    sizes = dict(zip("ab", shape, strict=True))
    chain = jconv.plan_chain(x_shape, layers, mesh=sizes, x_spec=x_spec, platform="cpu")
    algorithms = {leg.algorithm for leg in chain.devices["second"].legs.values()}
    assert algorithms != {"direct"}


def test_each_layer_says_what_a_device_holds():
    x_shape, layers, _, x_spec = CASES["batch and rows"]
    chain = jconv.plan_chain(x_shape, layers, mesh={"a": 2, "b": 4}, x_spec=x_spec, platform="cpu")
    assert chain.devices["relu1"].shape == chain.devices["down"].shape == (2, 4, 8, 16)
    assert chain.devices["up"].shape == (2, 8, 16, 8)
    # Nothing before the first layer is trained, so its input's gradient does not run.
    assert set(chain.devices["down"].legs) == {"conv", "filter_grad"}
    assert set(chain.devices["mid"].legs) == {"conv", "filter_grad", "input_grad"}
    assert chain.devices["mid"].legs["conv"].halo == ((2, 2), (0, 0))
    said = str(chain)
    assert "mesh a=2, b=4; x is split (a, b, ., .)" in said
    assert "a training step" in said
    assert max(map(len, said.splitlines())) <= 100
    assert json.loads(json.dumps(chain.to_dict()))["step"] == chain.step


def test_channels_first_and_symbols_say_the_same():
    x_shape, layers, shape, _ = CASES["batch and rows"]
    sizes = {"mesh": dict(zip("ab", shape, strict=True)), "platform": "cpu"}
    chain = jconv.plan_chain(x_shape, layers, x_spec=("a", "b"), **sizes)
    first = jconv.plan_chain(
        (4, 4, 32, 16), layers, layout="NCHW", x_spec=("a", None, "b"), **sizes
    )
    assert first.step == chain.step
    assert first.devices["mid"].spec == (("a",), (), ("b",), ())
    of_any = jconv.plan_chain(
        ("n", "h", "w", 4), layers, mesh={"a": "D", "b": 4}, x_spec=("a", "b"), platform="cpu"
    )
    assert of_any.at(n=4, h=32, w=16, D=2) == chain
    assert max(map(len, str(of_any).splitlines())) <= 100


def test_faults_of_a_mesh_are_said():
    layer = ("conv", {"features": 8, "kernel": 3})
    with pytest.raises(jconv.ConvError, match="there is no `mesh`"):
        jconv.plan_chain((8, 8, 8, 4), [layer], x_spec=("a",))
    with pytest.raises(jconv.ConvError, match="8 entries of dimension 0 into 3 parts"):
        jconv.plan_chain((8, 8, 8, 4), [layer], mesh={"a": 3}, x_spec=("a",))
    layer[1]["w_spec"] = (None, None, None, "b")
    with pytest.raises(jconv.ConvError, match=r"layers\[0\] 'conv1' \(conv\): `w_spec` takes"):
        jconv.plan_chain((8, 8, 8, 4), [layer], mesh={"a": 2}, x_spec=("a",))


def test_the_command_line_plans_a_chain_on_a_mesh(tmp_path, capsys):
    file = tmp_path / "network.toml"
    file.write_text(
        'x_shape = [4, 32, 16, 4]\nmesh = {a = 2, b = 4}\nx_spec = ["a", "b"]\n'
        '[[layers]]\nkind = "conv"\nfeatures = 8\nkernel = 3\n'
    )
    assert cli.main(["chain", str(file)]) == 0
    of_file = capsys.readouterr().out
    assert "mesh a=2, b=4" in of_file
    assert cli.main(["chain", str(file), "--mesh", "a=2,b=4", "--x-spec", "a,b,.,."]) == 0
    assert capsys.readouterr().out == of_file
    assert cli.main(["chain", str(file), "--mesh", "data=4", "--x-spec", "data", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mesh"] == {"data": 4}
