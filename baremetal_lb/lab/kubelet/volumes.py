"""The volumes of a Pod: folders and files on the machine, kept as fresh as the objects they come from."""

import asyncio
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from baremetal_lb.lab.kubelet.environment import ConfigError, Objects, Place, field_value
from baremetal_lb.lab.kubelet.podview import PodView, Raw, VolumeMount
from baremetal_lb.lab.kubelet.security import volume_group
from baremetal_lb.lab.kubelet.source import ObjectSource

DEFAULT_MODE = 0o644
DATA_LINK = "..data"


@dataclass(frozen=True, slots=True)
class File:
    """One file of a volume."""

    content: bytes
    mode: int = DEFAULT_MODE


Payload = Mapping[str, File]
"""All files of a volume by relative path."""


def is_writable(volume: Raw) -> bool:
    """Tell whether containers may write there; what is made from objects they may only read."""
    return "emptyDir" in volume or "hostPath" in volume


def data_files(data: Mapping[str, bytes], source: Raw, default_mode: int) -> dict[str, File]:
    """Choose the files of a ConfigMap or Secret; raises ConfigError for a key that is not there."""
    items = source.get("items")
    if items is None:
        return {name: File(content, default_mode) for name, content in data.items()}
    missing = [item["key"] for item in items if item["key"] not in data]
    if missing and not source.get("optional"):
        raise ConfigError(f"references non-existent config key: {missing[0]}")
    return {
        _checked(item["path"]): File(data[item["key"]], item.get("mode", default_mode))
        for item in items
        if item["key"] in data
    }


def field_files(source: Raw, pod: PodView, place: Place, default_mode: int) -> dict[str, File]:
    """Write the files of a downward API source."""
    files = {}
    for item in source.get("items") or ():
        if "fieldRef" not in item:
            raise ConfigError(f"{item['path']}: only fieldRef is supported here")
        text = field_value(item["fieldRef"]["fieldPath"], pod, place)
        files[_checked(item["path"])] = File(text.encode(), item.get("mode", default_mode))
    return files


def write_payload(folder: Path, payload: Payload, group: int | None) -> None:
    """Make the folder hold exactly these files, switched over at once by the link `..data`, as a kubelet does."""
    current = folder / DATA_LINK
    if current.is_symlink() and _read_payload(current) == {name: file.content for name, file in payload.items()}:
        return
    fresh = folder / f"..{time.time_ns()}"
    fresh.mkdir(parents=True)
    for name, file in payload.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
        path.chmod(file.mode if group is None else file.mode | 0o440)
        if group is not None:
            os.chown(path, 0, group)
    old = folder / current.readlink() if current.is_symlink() else None
    _switch_link(current, fresh.name)
    _link_names(folder, {PurePosixPath(name).parts[0] for name in payload})
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


class PodVolumes:
    """The volumes of one Pod."""

    def __init__(self, root: Path, source: ObjectSource, place: Place) -> None:
        self._root = root
        self._source = source
        self._place = place

    async def refresh(self, pod: PodView) -> None:
        """Make every volume, or bring it up to date; raises ConfigError and ApiError."""
        for volume in pod.volumes:
            folder = self._root / volume["name"]
            payload = await self._payload(volume, pod)
            if payload is not None:
                await asyncio.to_thread(write_payload, folder, payload, volume_group(pod.security))
            elif "emptyDir" in volume:
                _make_empty(folder, volume_group(pod.security))
            elif "hostPath" in volume:
                _check_host_path(volume["hostPath"])
            else:
                kinds = ", ".join(kind for kind in volume if kind != "name")
                raise ConfigError(f"volume {volume['name']}: {kinds} is not supported here")

    def locate(self, mount: VolumeMount, pod: PodView) -> Path:
        """Tell the path on the machine that a container sees; raises ConfigError."""
        volume = pod.volume(mount.volume)
        base = Path(volume["hostPath"]["path"]) if "hostPath" in volume else self._root / mount.volume
        if not mount.sub_path:
            return base
        path = (base / _checked(mount.sub_path)).resolve()
        if not path.is_relative_to(base.resolve()):
            raise ConfigError(f"subPath {mount.sub_path!r} leaves its volume")
        if not path.exists():
            path.mkdir(parents=True)
        return path

    async def _payload(self, volume: Raw, pod: PodView) -> dict[str, File] | None:
        """Collect the files of a volume; None for one that is no set of files."""
        for kind in ("configMap", "secret", "downwardAPI"):
            if kind in volume:
                body = volume[kind]
                name = {"name": body["secretName"]} if kind == "secret" else {}
                return await self._files(kind, {**body, **name}, pod, body.get("defaultMode", DEFAULT_MODE))
        if "projected" not in volume:
            return None
        mode = volume["projected"].get("defaultMode", DEFAULT_MODE)
        files: dict[str, File] = {}
        for source in volume["projected"].get("sources") or ():
            for kind, body in source.items():
                files |= await self._files(kind, body, pod, mode)
        return files

    async def _files(self, kind: str, body: Raw, pod: PodView, mode: int) -> dict[str, File]:
        match kind:
            case "configMap" | "secret":
                data = await self._source.data(kind, pod.key.namespace, body["name"])
                if data is None and not body.get("optional"):
                    raise ConfigError(f'{kind.lower()} "{body["name"]}" not found')
                return data_files(data or {}, body, mode)
            case "downwardAPI":
                return field_files(body, pod, self._place, mode)
            case "serviceAccountToken":
                return {_checked(body["path"]): File((await self._source.token(pod, body)).encode(), mode)}
        raise ConfigError(f"a projected volume of {kind} is not supported here")


async def environment_objects(
    source: ObjectSource, namespace: str, names: tuple[frozenset[str], frozenset[str]]
) -> Objects:
    """Fetch the ConfigMaps and Secrets that environments name; those that don't exist are left out."""
    found: list[dict[str, Mapping[str, bytes]]] = []
    for kind, wanted in zip(("configMap", "secret"), names, strict=True):
        items = {name: await source.data(kind, namespace, name) for name in sorted(wanted)}
        found.append({name: data for name, data in items.items() if data is not None})
    return Objects(config_maps=found[0], secrets=found[1])


def _checked(path: str) -> str:
    """Refuse a path that leaves its volume."""
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ConfigError(f"path {path!r} leaves its volume")
    return path


def _read_payload(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _switch_link(link: Path, target: str) -> None:
    temporary = link.with_name("..data_tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.rename(link)


def _link_names(folder: Path, names: set[str]) -> None:
    """Let each file be found by its own name, through `..data`; names that are gone go."""
    for entry in folder.iterdir():
        if not entry.name.startswith("..") and entry.name not in names:
            entry.unlink()
    for name in names:
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(f"{DATA_LINK}/{name}")


def _make_empty(folder: Path, group: int | None) -> None:
    if folder.is_dir():
        return
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    if group is not None:
        os.chown(folder, 0, group)
        folder.chmod(0o2777)


def _check_host_path(body: dict[str, Any]) -> None:
    """Make or check the path, by its type; raises ConfigError."""
    path, kind = Path(body["path"]), body.get("type") or ""
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    elif not path.exists() or (kind == "Directory" and not path.is_dir()) or (kind == "File" and not path.is_file()):
        raise ConfigError(f"hostPath {path} is no {kind or 'path of this machine'}")
