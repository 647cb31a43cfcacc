//! The graph of a description's nodes and the order that it is worked through in.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use petgraph::Direction;
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::error::{Fault, Faults, Place};

/// A node of the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vertex {
    /// Its name.
    pub name: String,
    /// Where it was described.
    pub place: Place,
    /// The names of the nodes that come before it.
    pub parents: Vec<String>,
}

/// The names in an order that puts every parent first; among those that are free to go, the one that
/// was described first.
///
/// # Errors
/// Names used twice, parents that do not exist, cycles.
pub fn sort(vertices: &[Vertex]) -> Result<Vec<String>, Faults> {
    let graph = connect(vertices)?;
    let mut waiting: Vec<usize> =
        graph.node_indices().map(|node| graph.neighbors_directed(node, Direction::Incoming).count()).collect();
    let mut ready: BinaryHeap<Reverse<NodeIndex>> =
        graph.node_indices().filter(|node| waiting[node.index()] == 0).map(Reverse).collect();
    let mut sorted = Vec::new();
    while let Some(Reverse(node)) = ready.pop() {
        sorted.push(graph[node].name.clone());
        for child in graph.neighbors(node) {
            waiting[child.index()] -= 1;
            if waiting[child.index()] == 0 {
                ready.push(Reverse(child));
            }
        }
    }
    Faults::or(if sorted.len() < vertices.len() { cycles(&graph) } else { Vec::new() }, sorted)
}

fn connect(vertices: &[Vertex]) -> Result<DiGraph<&Vertex, ()>, Faults> {
    let mut graph = DiGraph::new();
    let mut by_name: HashMap<&str, NodeIndex> = HashMap::new();
    let mut faults = Vec::new();
    for vertex in vertices {
        let node = graph.add_node(vertex);
        if let Some(first) = by_name.insert(&vertex.name, node) {
            let first = &graph[first].place;
            faults.push(
                Fault::at(vertex.place.clone(), format!("Duplicate node name: {}", vertex.name))
                    .hint(format!("the other one stands at {first}")),
            );
        }
    }
    for node in graph.node_indices() {
        let vertex = graph[node];
        for parent in &vertex.parents {
            match by_name.get(parent.as_str()) {
                Some(parent) => {
                    // An edge that is there twice would be waited for twice.
                    graph.update_edge(*parent, node, ());
                }
                None => {
                    let message = format!("Edge not defined: {parent}->{}", vertex.name);
                    faults.push(Fault::at(vertex.place.clone(), message).hint(format!("no node is called '{parent}'")));
                }
            }
        }
    }
    Faults::or(faults, graph)
}

/// A fault for each group of nodes that wait for each other.
fn cycles(graph: &DiGraph<&Vertex, ()>) -> Vec<Fault> {
    let in_circle = |group: &Vec<NodeIndex>| group.len() > 1 || graph.contains_edge(group[0], group[0]);
    tarjan_scc(graph)
        .into_iter()
        .filter(in_circle)
        .map(|mut group| {
            group.sort();
            let names: Vec<&str> = group.iter().map(|node| graph[*node].name.as_str()).collect();
            let place = graph[group[0]].place.clone();
            Fault::at(place, format!("these nodes lie on each other in a circle: {}", names.join(", ")))
        })
        .collect()
}
