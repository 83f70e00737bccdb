"""What can become of bytes on their way: anything."""

from __future__ import annotations

from hypothesis import strategies as st


@st.composite
def mutations(draw: st.DrawFn, whole: bytes) -> bytes:
    """Draw bytes made of a valid value: bits flipped, bytes changed, cut, put in or repeated; or any bytes at all."""
    raw = bytearray(whole)
    if draw(st.integers(0, 19)) == 0:
        return draw(st.binary(max_size=200))
    for _ in range(draw(st.integers(1, 4))):
        # Most of what decides lies in front: there as many changes as in all the rest.
        near = draw(st.booleans())
        at = draw(st.integers(0, max(min(len(raw), 80) if near else len(raw), 1) - 1))
        match draw(st.sampled_from(("flip", "set", "cut", "insert", "delete", "zeros", "repeat"))):
            case "flip" if at < len(raw):
                raw[at] ^= 1 << draw(st.integers(0, 7))
            case "set" if at < len(raw):
                raw[at] = draw(st.integers(0, 255))
            case "cut":
                del raw[at:]
            case "insert":
                raw[at:at] = draw(st.binary(max_size=20))
            case "delete":
                del raw[at : at + draw(st.integers(1, 20))]
            case "zeros":
                raw[at : at + 8] = bytes(8)
            case _:
                raw[at:at] = raw[at : at + draw(st.integers(1, 40))]
    return bytes(raw)
