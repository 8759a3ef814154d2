"""A container without a container engine: its root, its rights, its end. Needs root, but no control plane."""

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from baremetal_lb.lab.capabilities import NAMES
from baremetal_lb.lab.container import (
    Container,
    ContainerSpec,
    Exit,
    Identity,
    Mount,
    Program,
    Root,
    StartFailed,
    last_exit,
)
from baremetal_lb.lab.images import CHECKOUT, IMAGES, SEARCH_PATH, program_trees

NET_RAW = NAMES.index("NET_RAW")
PATIENCE = 30.0
FOR_EVER = "while :; do sleep 0.1; done"


def shell(folder: Path, script: str) -> ContainerSpec:
    """A container that runs a script as root without any capability."""
    program = Program(("sh", "-c", script), {"PATH": SEARCH_PATH})
    return ContainerSpec(folder / "container", folder / "log", program, root=Root(trees=program_trees()))


async def end_of(container: Container) -> Exit:
    return await asyncio.wait_for(container.wait(), PATIENCE)


async def said(spec: ContainerSpec, text: str) -> None:
    """Wait until a container has written a line: only then are its signal handlers in place."""
    async with asyncio.timeout(PATIENCE):
        while text not in written(spec):  # noqa: ASYNC110  # a log file has no event
            await asyncio.sleep(0.05)


def written(spec: ContainerSpec) -> str:
    return spec.log.read_text() if spec.log.exists() else ""


async def output_of(spec: ContainerSpec) -> str:
    container = await Container.start(spec)
    await end_of(container)
    return spec.log.read_text()


async def status_of(spec: ContainerSpec) -> dict[str, str]:
    """The container's own view of its process."""
    lines = (await output_of(spec)).splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def machine_hostname() -> str:
    return Path("/etc/hostname").read_text()


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().split()[3])


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_output_and_exit_code_are_kept(tmp_path: Path) -> None:
    container = await Container.start(shell(tmp_path, "echo out; echo err >&2; exit 7"))
    exit_ = await end_of(container)
    assert exit_.code == 7
    assert (tmp_path / "log").read_text() == "out\nerr\n"
    assert last_exit(tmp_path / "container") == exit_


@pytest.mark.parametrize(
    ("user", "added", "effective"),
    [
        pytest.param(0, set(), 0, id="root with all dropped has none"),
        pytest.param(0, {NET_RAW}, 1 << NET_RAW, id="root has what was added"),
        pytest.param(65532, {NET_RAW}, 0, id="another user has none, as with runc"),
    ],
)
async def test_capabilities(tmp_path: Path, user: int, added: set[int], effective: int) -> None:
    identity = Identity(user=user, group=user, groups=(7,), capabilities=frozenset(added), no_new_privileges=True)
    status = await status_of(replace(shell(tmp_path, "cat /proc/self/status"), identity=identity))
    assert [int(status[name], 16) for name in ("CapEff", "CapPrm")] == [effective, effective]
    assert [int(status[name], 16) for name in ("CapInh", "CapAmb")] == [0, 0]
    assert int(status["CapBnd"], 16) == sum(1 << number for number in added)
    assert (status["NoNewPrivs"], status["Uid"].split()[0], status["Groups"]) == ("1", str(user), "7")


async def test_root_is_its_own(tmp_path: Path) -> None:
    """What it writes the machine doesn't see, and what is the machine's own (this test's folder) it doesn't see."""
    script = "echo changed > /etc/hostname && cat /etc/hostname; ls /run /tmp /root /home | grep -v :; touch /tmp/mine"
    spec = shell(tmp_path, script)
    before = machine_hostname()
    text = await output_of(replace(spec, root=replace(spec.root, trees=())))
    assert text.split() == ["changed"]
    assert machine_hostname() == before


async def test_read_only_root_leaves_volumes_as_they_are(tmp_path: Path) -> None:
    for name in ("open", "closed"):
        (tmp_path / name).mkdir()
    mounts = (Mount(tmp_path / "open", "/var/run/open"), Mount(tmp_path / "closed", "/data/closed", read_only=True))
    script = f"for f in /x /tmp/x {CHECKOUT}/x /var/run/open/x /data/closed/x; do touch $f && echo $f; done 2>/dev/null"
    spec = shell(tmp_path, script)
    text = await output_of(replace(spec, root=replace(spec.root, read_only=True, mounts=mounts)))
    assert text == "/var/run/open/x\n"
    assert (tmp_path / "open/x").exists()


async def test_any_user_can_run_our_own_program(tmp_path: Path) -> None:
    """The checkout and its interpreter may be in folders that only root can enter."""
    image = IMAGES["echo"]
    program = Program((*image.entrypoint[:-1], "-c", "print('hello')"), image.environment)
    spec = replace(shell(tmp_path, ""), program=program, identity=Identity(user=65532, group=65532))
    assert await output_of(spec) == "hello\n"


async def test_it_sees_only_its_own_processes(tmp_path: Path) -> None:
    text = await output_of(shell(tmp_path, "echo $$; ls -d /proc/[0-9]* | wc -l"))
    assert text.split()[0] == "1"
    assert int(text.split()[1]) <= 4


async def test_sysctls_are_out_of_reach(tmp_path: Path) -> None:
    script = "echo 1 > /proc/sys/net/ipv4/ip_forward && echo written || echo refused"
    assert (await output_of(shell(tmp_path, script))).splitlines()[-1] == "refused"


async def test_kill_ends_all_of_it(tmp_path: Path) -> None:
    spec = shell(tmp_path, f"trap '' TERM; ({FOR_EVER}) & echo up; {FOR_EVER}")
    container = await Container.start(spec)
    await said(spec, "up")
    container.send(signal.SIGTERM)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(container.ended.wait(), 0.3)
    children = children_of(container.pid)
    container.kill()
    assert (await end_of(container)).code == 128 + signal.SIGKILL
    assert children
    assert not any(map(exists, children))


async def test_commands_run_inside_it(tmp_path: Path) -> None:
    identity = Identity(user=65532, group=65532)
    container = await Container.start(replace(shell(tmp_path, f"touch /tmp/here; {FOR_EVER}"), identity=identity))
    try:
        done = await container.execute(["sh", "-c", "ls /tmp/here; id -u; exit 3"], 5)
        assert (done.code, done.output) == (3, "/tmp/here\n65532\n")
        with pytest.raises(TimeoutError):
            await container.execute(["sleep", "60"], 0.3)
        assert (await container.execute(["no-such-program"], 5)).code == 126
    finally:
        container.kill()
        await end_of(container)


async def test_a_running_container_is_found_again(tmp_path: Path) -> None:
    spec = shell(tmp_path, f"trap 'exit 9' TERM; echo up; {FOR_EVER}")
    first = await Container.start(spec)
    await said(spec, "up")
    second = Container.adopt(tmp_path / "container")
    assert second is not None
    assert second.pid == first.pid
    second.send(signal.SIGTERM)
    assert [end.code for end in await asyncio.gather(end_of(first), end_of(second))] == [9, 9]
    assert Container.adopt(tmp_path / "container") is None


async def test_a_container_whose_keeper_is_killed_ends_with_it(tmp_path: Path) -> None:
    container = await Container.start(shell(tmp_path, FOR_EVER))
    os.kill(parent_of(container.pid), signal.SIGKILL)
    assert (await end_of(container)).code == 137
    assert last_exit(tmp_path / "container") is None


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param(("no-such-program",), "no-such-program: not found in", id="no such program"),
        pytest.param(("/etc/passwd",), "Permission denied", id="not a program"),
    ],
)
async def test_what_cannot_start_says_why(tmp_path: Path, arguments: tuple[str, ...], complaint: str) -> None:
    spec = replace(shell(tmp_path, ""), program=Program(arguments, {"PATH": SEARCH_PATH}))
    with pytest.raises(StartFailed, match=complaint):
        await Container.start(spec)


async def test_a_log_is_bounded(tmp_path: Path) -> None:
    container = await Container.start(shell(tmp_path, "head -c 10000000 /dev/zero; echo end"))
    await end_of(container)
    sizes = [path.stat().st_size for path in (tmp_path / "log", tmp_path / "log.1")]
    assert all(size <= 4 * 1024 * 1024 for size in sizes)
    assert (tmp_path / "log").read_bytes().endswith(b"end\n")
