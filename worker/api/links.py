"""Links to what the API has about an image: its record, and its previews."""

from __future__ import annotations

from urllib.parse import quote

from pydantic import BaseModel, Field, computed_field


class Links(BaseModel):
    """Addresses relative to the API's own. They need the same token."""

    image: str = Field(description="Everything known about the image: `GET /v1/images/…`.")
    preview: str = Field(description="A WebP file of at most 512 × 512 pixels.")
    thumbnail: str = Field(description="A WebP file of at most 256 × 256 pixels.")


class Linked(BaseModel):
    """A model of an image, with links to it."""

    bucket: str
    key: str

    @computed_field(description="Addresses of the image and its previews.")  # type: ignore[prop-decorator]  # pydantic
    @property
    def links(self) -> Links:
        return links_of(self.bucket, self.key, getattr(self, "sha256", None))


def links_of(bucket: str, key: str, sha256: str | None) -> Links:
    """The links of an image. With the hash of its bytes, previews may be cached for ever, as they name what they show.

    Args:
        bucket: of the object.
        key: of the object.
        sha256: hex, of the bytes that the catalog describes; None: not known here.
    """
    place = f"{quote(bucket, safe='')}/{_path(key)}"
    named = "" if sha256 is None else f"?sha256={sha256}"
    return Links(
        image=f"/v1/images/{place}",
        preview=f"/v1/previews/512/{place}{named}",
        thumbnail=f"/v1/previews/256/{place}{named}",
    )


def _path(key: str) -> str:
    """A key as the end of a path. Clients resolve `.` and `..`, and proxies join slashes, so such keys have none."""
    plain = all(part not in ("", ".", "..") for part in key.split("/"))
    return quote(key, safe="/" if plain else "")
