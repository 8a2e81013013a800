"""The steps of a chain as a graph, for people to look at."""

from typing import TYPE_CHECKING

from langchain_core.runnables.graph import Graph

if TYPE_CHECKING:
    from .chain import SoTChain


def graph_of(chain: "SoTChain") -> Graph:
    """Draw the steps: the ways part behind the router, and meet again at the end."""
    graph = Graph()
    asked = graph.add_node(chain.get_input_schema(), "question")
    route = graph.add_node(None, "route")
    skeleton = graph.add_node(chain.skeleton_chain, "skeleton")
    expand = graph.add_node(chain.expansion_chain, "expand")
    join = graph.add_node(None, "join")
    direct = graph.add_node(chain.llm, "direct")
    answer = graph.add_node(chain.get_output_schema(), "answer")
    graph.add_edge(asked, route)
    graph.add_edge(route, skeleton, conditional=True)
    graph.add_edge(route, direct, conditional=True)
    graph.add_edge(skeleton, expand, "each point", conditional=True)
    graph.add_edge(skeleton, direct, "too few points", conditional=True)
    graph.add_edge(expand, join)
    graph.add_edge(join, answer)
    graph.add_edge(direct, answer)
    return graph
