import pytest
import torch

from gdrl.models.disgraph import DisGraph, NodeEmbedding, normalise_incoming, propagate

NUM_NODES = 5


@pytest.fixture
def codes() -> torch.Tensor:
    return torch.randn(7, NUM_NODES, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def graph() -> DisGraph:
    graph = DisGraph(NUM_NODES, num_layers=2)
    with torch.no_grad():
        graph.weight.copy_(
            torch.randn(NUM_NODES, NUM_NODES, generator=torch.Generator().manual_seed(1))
        )
    return graph


def test_one_linear_layer_is_adjacency_transposed_z_up_to_n_and_in_degree(graph, codes) -> None:
    adjacency = graph.adjacency()
    layer = propagate(normalise_incoming(adjacency), torch.diag_embed(codes), torch.eye(NUM_NODES))
    in_degree = adjacency.abs().sum(dim=0)
    torch.testing.assert_close(layer.mean(dim=2) * NUM_NODES * in_degree, (adjacency.T @ codes.T).T)


def test_an_untrained_graph_is_adjacency_transposed_times_z(graph, codes) -> None:
    torch.testing.assert_close(graph(codes), (graph.adjacency().T @ codes.T).T)


def test_without_layers_only_adjacency_transposed_times_z_is_left(codes) -> None:
    graph = DisGraph(NUM_NODES, num_layers=0)
    with torch.no_grad():
        graph.weight.normal_()
    torch.testing.assert_close(graph(codes), (graph.adjacency().T @ codes.T).T)


def test_without_edges_it_is_the_identity(codes) -> None:
    torch.testing.assert_close(DisGraph(NUM_NODES, num_layers=1)(codes), codes)


def test_self_loops_weigh_one_whatever_the_diagonal_learned(graph) -> None:
    torch.testing.assert_close(graph.adjacency().diagonal(), torch.ones(NUM_NODES))
    torch.testing.assert_close(graph.edges().diagonal(), torch.zeros(NUM_NODES))


def test_direction_is_kept(codes) -> None:
    graph = DisGraph(NUM_NODES, num_layers=1)
    with torch.no_grad():
        graph.weight[0, 1] = 0.5
    related = graph(codes)
    torch.testing.assert_close(related[:, 1], codes[:, 1] + 0.5 * codes[:, 0])
    torch.testing.assert_close(related[:, 0], codes[:, 0])


def test_without_signs_edges_lie_between_0_and_1_and_still_learn(codes) -> None:
    graph = DisGraph(NUM_NODES, num_layers=1, signed=False)
    with torch.no_grad():
        graph.weight[0, 1], graph.weight[0, 2], graph.weight[0, 3] = -0.4, 0.3, 1.7
    assert graph.edges()[0].tolist() == pytest.approx([0, 0, 0.3, 1, 0])
    graph(codes).square().sum().backward()
    assert (graph.weight.grad[0, 1:] != 0).all()


def test_gradients_reach_every_edge_and_no_self_loop(graph, codes) -> None:
    with torch.no_grad():
        graph.layers[-1].normal_()
    graph(codes).square().sum().backward()
    off_diagonal = ~torch.eye(NUM_NODES, dtype=torch.bool)
    assert (graph.weight.grad[off_diagonal] != 0).all()
    assert (graph.weight.grad.diagonal() == 0).all()
    assert all((layer.grad != 0).any() for layer in graph.layers)


def test_rows_of_incoming_weights_have_absolute_sum_one(graph) -> None:
    sums = normalise_incoming(graph.adjacency()).abs().sum(dim=1)
    torch.testing.assert_close(sums, torch.ones(NUM_NODES))


def test_embeddings_have_one_row_a_node(graph, codes) -> None:
    embedded = NodeEmbedding(NUM_NODES, embedding_dim=3)(graph.adjacency(), torch.diag_embed(codes))
    assert embedded.shape == (7, NUM_NODES, 3)
