"""Networks: read, write, simplify."""

from accel.graph.limits import Limits
from accel.graph.network import Network, Node, Value
from accel.graph.passes import fuse, simplify
from accel.graph.store import load, save

__all__ = ["Limits", "Network", "Node", "Value", "fuse", "load", "save", "simplify"]
