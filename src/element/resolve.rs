//! From the elements that were asked for to all that take part, in a fixed order (contract 2.3, 3.2).
//!
//! The expansion is breadth first, so that an element named by the user is seen before any
//! dependency and can provide a virtual name (`block-device`, say) that others need. Two things
//! differ from diskimage-builder on purpose: a virtual name may be asked for before its provider is
//! seen, and the result has an order (dependencies first, then by name) where there it was random.
//! Both accept everything that was accepted before.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;

use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::element::catalog::{ElementCatalog, Named};
use crate::error::{Fault, Faults, Place};

/// The element that every build gets unless it is told not to.
pub const BASE: &str = "base";

/// The virtual name that one element of every build provides.
pub const OPERATING_SYSTEM: &str = "operating-system";

/// The element that needs a disk layout, and the virtual name that layouts provide.
const VM: &str = "vm";
const BLOCK_DEVICE: &str = "block-device";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Elements that the user named: an inherited `IMAGE_ELEMENT` first, then the command line.
    pub requested: Vec<String>,
    /// Elements that come along unasked and go before the others: [`BASE`] unless `-n`, the ramdisk element.
    pub implicit: Vec<String>,
    /// The target architecture as the user spells it; it decides the default disk layout.
    pub arch: String,
    /// Whether one element has to provide [`OPERATING_SYSTEM`]: yes for a build, no for a look at elements.
    pub needs_operating_system: bool,
}

impl Request {
    /// The request of a plain build: these elements and [`BASE`].
    pub fn build<S: AsRef<str>>(requested: &[S], arch: &str) -> Self {
        Self {
            requested: requested.iter().map(|s| s.as_ref().to_owned()).collect(),
            implicit: vec![BASE.to_owned()],
            arch: arch.to_owned(),
            needs_operating_system: true,
        }
    }
}

/// One element that takes part in a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedElement {
    /// Its name.
    pub name: String,
    /// Its directory.
    pub dir: PathBuf,
    /// Whether the user named it.
    pub requested: bool,
    /// The elements that need it, directly or by a virtual name that it provides; by name. Empty for
    /// the implicit ones.
    pub required_by: Vec<String>,
}

/// Why one element needs another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The line of `element-deps`; none when the default disk layout was chosen for `vm`.
    pub place: Option<Place>,
    /// The virtual name, when the needed element provides it and has another name.
    pub virtual_name: Option<String>,
}

/// The elements of a build.
#[derive(Debug, Clone)]
pub struct Resolution {
    /// All elements, dependencies before dependents, ties by name.
    pub elements: Vec<ResolvedElement>,
    /// Edges go from an element to what it needs. Node N is `elements[N]`.
    pub graph: DiGraph<String, Link>,
    /// Virtual names, each with the element that provides it.
    pub provided: BTreeMap<String, String>,
}

impl Resolution {
    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.elements.iter().map(|e| e.name.as_str())
    }

    /// The element of this name.
    pub fn get(&self, name: &str) -> Option<&ResolvedElement> {
        self.elements.iter().find(|e| e.name == name)
    }
}

/// Expands a request.
///
/// # Errors
/// Every fault that can be found: unknown elements with near names, two providers of one name, a named
/// element that another one provides, no operating system, unreadable files, names that hooks could not use.
pub fn resolve(catalog: &ElementCatalog, request: &Request) -> Result<Resolution, Faults> {
    let mut expansion = Expansion::new(catalog, request);
    expansion.run();
    expansion.add_default_layout();
    let faults = expansion.check();
    Faults::or(faults, ())?;
    Ok(expansion.finish())
}

/// A name in the queue, and the line that asks for it.
#[derive(Debug, Clone)]
struct Wanted {
    name: String,
    place: Option<Place>,
}

struct Provider {
    element: String,
    place: Place,
}

struct Expansion<'a> {
    catalog: &'a ElementCatalog,
    request: &'a Request,
    queue: VecDeque<Wanted>,
    /// Every name that was ever wanted, virtual ones included.
    wanted: BTreeSet<String>,
    /// The elements that were visited, with what they need.
    deps: BTreeMap<String, Vec<Named>>,
    provided: BTreeMap<String, Provider>,
    /// Names without an element. They are faults unless a provider turns up.
    missing: Vec<Wanted>,
    /// The layout that was added because nobody named one.
    default_layout: Option<&'static str>,
    faults: Vec<Fault>,
}

impl<'a> Expansion<'a> {
    fn new(catalog: &'a ElementCatalog, request: &'a Request) -> Self {
        let named: Vec<&String> = request.implicit.iter().chain(&request.requested).collect();
        Self {
            catalog,
            request,
            queue: named.iter().map(|name| Wanted { name: (*name).clone(), place: None }).collect(),
            wanted: named.into_iter().cloned().collect(),
            deps: BTreeMap::new(),
            provided: BTreeMap::new(),
            missing: Vec::new(),
            default_layout: None,
            faults: Vec::new(),
        }
    }

    fn run(&mut self) {
        while let Some(next) = self.queue.pop_front() {
            if !self.provided.contains_key(&next.name) && !self.deps.contains_key(&next.name) {
                self.visit(next);
            }
        }
    }

    fn visit(&mut self, wanted: Wanted) {
        let Some(element) = self.catalog.get(&wanted.name) else {
            self.missing.push(wanted);
            return;
        };
        match element.provides() {
            Ok(names) => names.into_iter().for_each(|n| self.provide(n, &element.name)),
            Err(fault) => self.faults.push(fault),
        }
        let deps = element.deps().unwrap_or_else(|fault| {
            self.faults.push(fault);
            Vec::new()
        });
        for dep in &deps {
            if self.wanted.insert(dep.name.clone()) && !self.provided.contains_key(&dep.name) {
                self.queue.push_back(Wanted { name: dep.name.clone(), place: Some(dep.place.clone()) });
            }
        }
        self.deps.insert(wanted.name, deps);
    }

    fn provide(&mut self, name: Named, element: &str) {
        let Some(first) = self.provided.get(&name.name) else {
            self.provided.insert(name.name, Provider { element: element.to_owned(), place: name.place });
            return;
        };
        let message = format!("{}: already provided by ['{}']", name.name, first.element);
        let hint = format!(
            "'{}' ({}) and '{element}' ({}) both provide {}: a build can have one of them",
            first.element, first.place, name.place, name.name
        );
        self.faults.push(Fault::at(name.place, message).hint(hint));
    }

    /// Gives `vm` a disk layout when no element brings one. A layout that the user named stays the
    /// only one, even if it forgets to provide the virtual name: its own fault says so.
    fn add_default_layout(&mut self) {
        let named_one = self.request.requested.iter().any(|n| n.starts_with("block-device-"));
        if !self.deps.contains_key(VM) || self.provided.contains_key(BLOCK_DEVICE) || named_one {
            return;
        }
        let layout = match self.request.arch.as_str() {
            "arm64" | "aarch64" => "block-device-efi",
            _ => "block-device-mbr",
        };
        // Without that element the unmet dependency of `vm` is the better message.
        if self.catalog.get(layout).is_some() {
            self.default_layout = Some(layout);
            self.wanted.insert(layout.to_owned());
            self.queue.push_back(Wanted { name: layout.to_owned(), place: None });
            self.run();
        }
    }

    fn check(&mut self) -> Vec<Fault> {
        let mut faults = std::mem::take(&mut self.faults);
        let missing: Vec<_> = self.missing.iter().filter(|w| !self.provided.contains_key(&w.name)).collect();
        faults.extend(missing.iter().map(|w| self.not_found(w)));
        let mut named = BTreeSet::new();
        for name in self.request.requested.iter().filter(|n| named.insert(*n)) {
            if let Some(provider) = self.provided.get(name) {
                let message = format!("{name} : already provided by ['{}']", provider.element);
                let hint =
                    format!("leave out '{name}' or '{}': the second takes the place of the first", provider.element);
                faults.push(Fault::at(provider.place.clone(), message).hint(hint));
            }
        }
        // With an element missing, the operating system may just be misspelt.
        if self.request.needs_operating_system && missing.is_empty() && !self.provided.contains_key(OPERATING_SYSTEM) {
            faults.push(self.no_operating_system());
        }
        faults.extend(self.members().filter_map(unusable_name));
        faults
    }

    fn not_found(&self, wanted: &Wanted) -> Fault {
        let mut fault = Fault::new(format!("Element '{}' not found", wanted.name));
        fault.place = wanted.place.clone();
        fault.hint = self.catalog.hint_for(&wanted.name);
        if wanted.place.is_none() && self.request.implicit.contains(&wanted.name) {
            fault.hint = Some(match wanted.name.as_str() {
                BASE => format!("every build gets '{BASE}' unless -n is given"),
                _ => "ramdisk-image-create puts it in front of the others: ELEMENTS_PATH has to lead to it, or \
                      --ramdisk-element has to name another one"
                    .to_owned(),
            });
        }
        fault
    }

    fn no_operating_system(&self) -> Fault {
        let fault = Fault::new("Please include an operating system element");
        match self.catalog.providers(OPERATING_SYSTEM).as_slice() {
            [] => fault,
            known => fault.hint(format!("one of these: {}", known.join(", "))),
        }
    }

    /// The names that are elements of the result.
    fn members(&self) -> impl Iterator<Item = &str> {
        self.deps.keys().map(String::as_str).filter(|name| !self.provided.contains_key(*name))
    }

    /// The member that stands for a name: itself, or whatever provides it in the end.
    fn stand_in<'n>(&'n self, name: &'n str) -> Option<&'n str> {
        let mut name = name;
        // Providers may be provided in turn; two that provide each other lead nowhere.
        for _ in 0..=self.provided.len() {
            match self.provided.get(name) {
                Some(provider) => name = &provider.element,
                None => return self.deps.contains_key(name).then_some(name),
            }
        }
        None
    }

    fn finish(self) -> Resolution {
        let members: Vec<&str> = self.members().collect();
        let index: HashMap<&str, usize> = members.iter().enumerate().map(|(i, name)| (*name, i)).collect();
        let mut required_by = vec![BTreeSet::new(); members.len()];
        let mut links = Vec::new();
        let mut need = |from: &str, to: &str, link: Link| {
            let Some(&needed) = index.get(to) else { return };
            if from != to {
                required_by[needed].insert(from.to_owned());
                if let Some(&needing) = index.get(from) {
                    links.push((needing, needed, link));
                }
            }
        };
        for (name, deps) in &self.deps {
            for dep in deps {
                let Some(target) = self.stand_in(&dep.name) else { continue };
                let virtual_name = (target != dep.name).then(|| dep.name.clone());
                need(name, target, Link { place: Some(dep.place.clone()), virtual_name });
            }
        }
        if let Some(layout) = self.default_layout.filter(|layout| index.contains_key(layout)) {
            let served = self.deps[VM].iter().any(|dep| self.stand_in(&dep.name) == Some(layout));
            if !served {
                need(VM, layout, Link { place: None, virtual_name: None });
            }
        }
        let order = order(&members, &links);
        let elements = order.iter().map(|&i| ResolvedElement {
            name: members[i].to_owned(),
            dir: self.catalog.get(members[i]).expect("members were found in the catalog").dir.clone(),
            requested: self.request.requested.iter().any(|n| n == members[i]),
            required_by: required_by[i].iter().cloned().collect(),
        });
        Resolution {
            elements: elements.collect(),
            graph: graph(&members, &order, links),
            provided: self.provided.iter().map(|(name, p)| (name.clone(), p.element.clone())).collect(),
        }
    }
}

/// Hooks get the names as one text with spaces between and use them in bash unquoted.
fn unusable_name(name: &str) -> Option<Fault> {
    let good = name.chars().all(|c| c.is_alphanumeric() || "_-.+@:".contains(c));
    (!good).then(|| {
        Fault::new(format!("the element name '{name}' cannot be used: hooks get it in shell text"))
            .hint("use letters, digits, '-', '_' and '.' in the names of element directories")
    })
}

/// The graph whose node N is the element at place N of the order.
fn graph(members: &[&str], order: &[usize], links: Vec<(usize, usize, Link)>) -> DiGraph<String, Link> {
    let mut graph = DiGraph::with_capacity(members.len(), links.len());
    let mut node = vec![NodeIndex::default(); members.len()];
    for &member in order {
        node[member] = graph.add_node(members[member].to_owned());
    }
    for (from, to, link) in links {
        graph.add_edge(node[from], node[to], link);
    }
    graph
}

/// The places of `names` (sorted) in an order with dependencies first and ties by name. Elements that
/// need each other in a circle stand together, by name.
fn order(names: &[&str], links: &[(usize, usize, Link)]) -> Vec<usize> {
    let mut plain = DiGraph::<(), ()>::with_capacity(names.len(), links.len());
    names.iter().for_each(|_| {
        plain.add_node(());
    });
    plain.extend_with_edges(links.iter().map(|(from, to, _)| (*from as u32, *to as u32)));
    let mut circles: Vec<Vec<usize>> =
        tarjan_scc(&plain).into_iter().map(|c| c.into_iter().map(NodeIndex::index).collect()).collect();
    circles.iter_mut().for_each(|c| c.sort_unstable());
    let mut circle_of = vec![0; names.len()];
    for (i, circle) in circles.iter().enumerate() {
        circle.iter().for_each(|&member| circle_of[member] = i);
    }

    let mut needed_by = vec![Vec::new(); circles.len()];
    let mut open = vec![0_usize; circles.len()];
    for (from, to, _) in links {
        let (from, to) = (circle_of[*from], circle_of[*to]);
        if from != to {
            needed_by[to].push(from);
            open[from] += 1;
        }
    }
    // Names are sorted, so the least member of a circle is its first name.
    let mut ready: BTreeSet<(usize, usize)> =
        (0..circles.len()).filter(|&c| open[c] == 0).map(|c| (circles[c][0], c)).collect();
    let mut order = Vec::with_capacity(names.len());
    while let Some((_, circle)) = ready.pop_first() {
        order.extend_from_slice(&circles[circle]);
        for &waiting in &needed_by[circle] {
            open[waiting] -= 1;
            if open[waiting] == 0 {
                ready.insert((circles[waiting][0], waiting));
            }
        }
    }
    order
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
