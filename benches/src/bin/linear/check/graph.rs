//! The dependencies between operations, and cycles among them.
//!
//! Edges, after Adya's thesis (1999): the writer of what an operation saw comes before
//! it; an operation comes before the next write of what it saw; writes come in the order
//! of their revisions; and what had returned comes before what was invoked later. A
//! cycle means that no order explains the history. Ranges need no special care: a key
//! that is absent was seen like any other.

use std::collections::{BTreeMap, VecDeque};

use super::super::op::{Id, Op};
use super::facts::{Fact, Way};
use super::place::{Places, before, one_failed};
use super::timeline::{Timeline, Window};
use super::{Kind, Violation};

/// Why one comes before the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Seen,
    Overwritten,
    Revision,
    Time,
}

#[derive(Debug)]
struct Graph {
    /// Operations first, then revisions of nobody, then moments.
    edges: Vec<Vec<(usize, Why)>>,
}

/// Reports one cycle of every knot in the graph.
pub(crate) fn cycles(
    ops: &[Op],
    ways: &[Vec<Way>],
    line: &Timeline,
    places: &Places,
    violations: &mut Vec<Violation>,
) {
    let graph = build(ops, ways, line, places);
    for knot in knots(&graph.edges) {
        let cycle = shortest_cycle(&graph.edges, &knot);
        let mut what = String::from("a cycle:");
        let mut ids = Vec::new();
        for (node, why) in cycle {
            if node < ops.len() {
                ids.push(node);
                what.push_str(match why {
                    Why::Seen => " was seen by",
                    Why::Overwritten => " saw what was overwritten by",
                    Why::Revision => " has a lower revision than",
                    Why::Time => " had returned before",
                });
            }
        }
        violations.push(Violation::new(Kind::Cycle, what + " the first", &ids));
    }
}

fn build(ops: &[Op], ways: &[Vec<Way>], line: &Timeline, places: &Places) -> Graph {
    let mut edges: Vec<Vec<(usize, Why)>> = vec![Vec::new(); ops.len()];
    let mut nodes: BTreeMap<i64, usize> = BTreeMap::new();
    let mut last = None;
    for (revision, id) in &line.revisions {
        let node = id.unwrap_or_else(|| {
            edges.push(Vec::new());
            edges.len() - 1
        });
        nodes.insert(*revision, node);
        if let Some(last) = last.replace(node)
            && last != node
        {
            edges[last].push((node, Why::Revision));
        }
    }
    for (id, op) in ops.iter().enumerate().filter(|(_, op)| !op.undecided()) {
        // What was seen just before a revision, or at the place of a read.
        let position = match op.revision() {
            Some(revision) => revision - 1,
            None => places.at[id].unwrap_or(places.least[id]),
        };
        for way in &ways[id] {
            let mut all: Vec<Vec<Window>> = one_failed(way, line).into_iter().collect();
            for (key, facts) in &way.facts {
                all.extend(before(facts).map(|fact: &Fact| line.windows(*key, fact)));
            }
            for windows in all {
                let Some((start, end)) = nearest(&windows, position) else {
                    continue;
                };
                let (writer, next) = (nodes.get(&start), nodes.get(&end.saturating_add(1)));
                if let Some(&writer) = writer.filter(|writer| **writer != id) {
                    edges[writer].push((id, Why::Seen));
                }
                if let Some(&next) = next.filter(|next| **next != id) {
                    edges[id].push((next, Why::Overwritten));
                }
            }
        }
    }
    moments(ops, &nodes, &mut edges);
    Graph { edges }
}

/// The window that holds the position, or the nearest one before, or the first.
fn nearest(windows: &[Window], position: i64) -> Option<Window> {
    let before = windows.iter().rev().find(|window| window.0 <= position);
    before.or(windows.first()).copied()
}

/// Real time: a chain of all returns, which every return enters and every call leaves.
fn moments(ops: &[Op], nodes: &BTreeMap<i64, usize>, edges: &mut Vec<Vec<(usize, Why)>>) {
    let mut counts: Vec<Id> = (0..ops.len()).filter(|&id| !ops[id].undecided()).collect();
    counts.extend(
        nodes
            .values()
            .filter(|&&node| node < ops.len() && ops[node].undecided()),
    );
    let mut returned = counts.clone();
    returned.sort_by_key(|&id| ops[id].returned);
    let first = edges.len();
    for (at, id) in returned.iter().enumerate() {
        edges.push(Vec::new());
        edges[*id].push((first + at, Why::Time));
        if at > 0 {
            edges[first + at - 1].push((first + at, Why::Time));
        }
    }
    for id in counts {
        let earlier = returned.partition_point(|&other| ops[other].returned < ops[id].invoked);
        if earlier > 0 {
            edges[first + earlier - 1].push((id, Why::Time));
        }
    }
}

/// Strongly connected components of more than one node, by Tarjan's algorithm (1972)
/// with a stack of its own.
fn knots(edges: &[Vec<(usize, Why)>]) -> Vec<Vec<usize>> {
    const NEW: usize = usize::MAX;
    let mut index = vec![NEW; edges.len()];
    let mut low = vec![0; edges.len()];
    let mut on_stack = vec![false; edges.len()];
    let (mut stack, mut knots) = (Vec::new(), Vec::new());
    let mut count = 0;
    for root in 0..edges.len() {
        if index[root] != NEW {
            continue;
        }
        let mut work = vec![(root, 0)];
        while let Some((node, edge)) = work.pop() {
            if edge == 0 {
                index[node] = count;
                low[node] = count;
                count += 1;
                stack.push(node);
                on_stack[node] = true;
            }
            if let Some(&(to, _)) = edges[node].get(edge) {
                work.push((node, edge + 1));
                if index[to] == NEW {
                    work.push((to, 0));
                } else if on_stack[to] {
                    low[node] = low[node].min(index[to]);
                }
                continue;
            }
            if low[node] == index[node] {
                let at = stack.iter().rposition(|&other| other == node).unwrap_or(0);
                let knot = stack.split_off(at);
                for &member in &knot {
                    on_stack[member] = false;
                }
                if knot.len() > 1 {
                    knots.push(knot);
                }
            }
            if let Some(&(parent, _)) = work.last() {
                low[parent] = low[parent].min(low[node]);
            }
        }
    }
    knots
}

/// The shortest way within a knot from one of its operations back to itself, each node
/// with the reason why it comes before the next.
fn shortest_cycle(edges: &[Vec<(usize, Why)>], knot: &[usize]) -> Vec<(usize, Why)> {
    let mut best: Vec<(usize, Why)> = Vec::new();
    // Trying some of them is enough for a report.
    let mut starts = knot.to_vec();
    starts.sort_unstable();
    for &start in starts.iter().take(50) {
        let mut from: BTreeMap<usize, (usize, Why)> = BTreeMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front()
            && !from.contains_key(&start)
        {
            for &(to, why) in &edges[node] {
                if knot.contains(&to) && !from.contains_key(&to) {
                    from.insert(to, (node, why));
                    queue.push_back(to);
                }
            }
        }
        let mut cycle = Vec::new();
        let mut node = start;
        while let Some(&(previous, why)) = from.get(&node) {
            cycle.push((previous, why));
            node = previous;
            if node == start {
                break;
            }
        }
        cycle.reverse();
        let length = |cycle: &[(usize, Why)]| {
            let moments = cycle.iter().filter(|(_, why)| *why == Why::Time).count();
            (cycle.len() - moments, moments)
        };
        if best.is_empty() || (!cycle.is_empty() && length(&cycle) < length(&best)) {
            best = cycle;
        }
    }
    best
}
