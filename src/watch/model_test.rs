//! Watches against a list of them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{EventType, Listing, Mode, WatcherId, WatcherType, Watches};

const PATHS: &[&str] = &["/", "/a", "/a/b", "/a/b/c", "/ab", "/a/bc", "", "a", "/a/", "//"];
const KINDS: [WatcherType; 5] = [
    WatcherType::Children,
    WatcherType::Data,
    WatcherType::Any,
    WatcherType::Persistent,
    WatcherType::PersistentRecursive,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    Data,
    Child,
}

type Watch = (Table, WatcherId, &'static str, Mode);
type Event = (WatcherId, EventType, String);

/// Every watch there is.
#[derive(Default)]
struct Model(Vec<Watch>);

#[derive(Clone, Copy, Debug)]
enum Step {
    AddData(&'static str, WatcherId),
    AddChild(&'static str, WatcherId),
    AddPersistent(&'static str, WatcherId),
    AddRecursive(&'static str, WatcherId),
    Remove(&'static str, WatcherType, WatcherId),
    RemoveWatcher(WatcherId),
    Created(&'static str),
    Deleted(&'static str),
    DataChanged(&'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let with = |make: fn(&'static str, WatcherId) -> Step| {
        (select(PATHS), 1..5u64).prop_map(move |(path, watcher)| make(path, watcher))
    };
    prop_oneof![
        3 => with(Step::AddData),
        3 => with(Step::AddChild),
        2 => with(Step::AddPersistent),
        2 => with(Step::AddRecursive),
        3 => (select(PATHS), select(KINDS.to_vec()), 1..5u64)
            .prop_map(|(path, kind, watcher)| Step::Remove(path, kind, watcher)),
        1 => (1..5u64).prop_map(Step::RemoveWatcher),
        2 => select(PATHS).prop_map(Step::Created),
        2 => select(PATHS).prop_map(Step::Deleted),
        2 => select(PATHS).prop_map(Step::DataChanged),
    ]
}

/// The tables and modes that a type looks at, and whether removal looks at the same.
fn looks_at(kind: WatcherType, removing: bool, (table, _, _, mode): &Watch) -> bool {
    match kind {
        WatcherType::Children => *table == Table::Child && *mode == Mode::Standard,
        WatcherType::Data => *table == Table::Data && *mode == Mode::Standard,
        WatcherType::Any => true,
        WatcherType::Persistent => *mode == Mode::Persistent && (removing || *table == Table::Data),
        WatcherType::PersistentRecursive => *mode == Mode::PersistentRecursive,
    }
}

/// Whether `path` lies below `above`, as the reference walks up: cut at the last slash, down to the root.
fn is_below(path: &str, above: &str) -> bool {
    let parent = match path.rfind('/') {
        None => return false,
        Some(0) if path.len() > 1 => "/",
        Some(0) => return false,
        Some(slash) => &path[..slash],
    };
    parent == above || is_below(parent, above)
}

/// As clients write it.
fn parent_of(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(slash) => &path[..slash],
    }
}

impl Model {
    fn add(&mut self, table: Table, watcher: WatcherId, path: &'static str, mode: Mode) {
        let watch = (table, watcher, path, mode);
        if !self.0.contains(&watch) {
            self.0.push(watch);
        }
    }

    fn contains(&self, kind: WatcherType, path: &str, watcher: WatcherId) -> bool {
        self.0.iter().any(|watch| watch.1 == watcher && watch.2 == path && looks_at(kind, false, watch))
    }

    /// Who hears of a change at `path` in one table; standard watches there are gone then.
    fn trigger(&mut self, table: Table, path: &str) -> Vec<WatcherId> {
        let hears = |(of, _, at, mode): &&Watch| {
            *of == table && (*at == path || *mode == Mode::PersistentRecursive && is_below(path, at))
        };
        let mut told: Vec<_> = self.0.iter().filter(hears).map(|watch| watch.1).collect();
        told.sort_unstable();
        told.dedup();
        self.0.retain(|(of, _, at, mode)| !(*of == table && *at == path && *mode == Mode::Standard));
        told
    }

    fn apply(&mut self, step: Step) -> (Option<bool>, Vec<Event>) {
        let before = self.0.len();
        let mut events = Vec::new();
        let mut tell = |told: Vec<WatcherId>, event, path: &str| {
            events.extend(told.into_iter().map(|watcher| (watcher, event, path.to_owned())));
        };
        match step {
            Step::AddData(path, watcher) => self.add(Table::Data, watcher, path, Mode::Standard),
            Step::AddChild(path, watcher) => self.add(Table::Child, watcher, path, Mode::Standard),
            Step::AddPersistent(path, watcher) => {
                self.add(Table::Data, watcher, path, Mode::Persistent);
                self.add(Table::Child, watcher, path, Mode::Persistent);
            }
            Step::AddRecursive(path, watcher) => {
                self.add(Table::Data, watcher, path, Mode::PersistentRecursive);
            }
            Step::Remove(path, kind, watcher) => {
                self.0.retain(|watch| watch.1 != watcher || watch.2 != path || !looks_at(kind, true, watch));
                return (Some(self.0.len() < before), Vec::new());
            }
            Step::RemoveWatcher(watcher) => self.0.retain(|watch| watch.1 != watcher),
            Step::Created(path) => {
                tell(self.trigger(Table::Data, path), EventType::NodeCreated, path);
                let parent = parent_of(path);
                tell(self.trigger(Table::Child, parent), EventType::NodeChildrenChanged, parent);
            }
            Step::Deleted(path) => {
                let told = self.trigger(Table::Data, path);
                let others = self.trigger(Table::Child, path);
                let others = others.into_iter().filter(|watcher| !told.contains(watcher)).collect();
                tell(told, EventType::NodeDeleted, path);
                tell(others, EventType::NodeDeleted, path);
                let parent = parent_of(path);
                tell(self.trigger(Table::Child, parent), EventType::NodeChildrenChanged, parent);
            }
            Step::DataChanged(path) => {
                tell(self.trigger(Table::Data, path), EventType::NodeDataChanged, path)
            }
        }
        (None, events)
    }
}

fn apply(watches: &mut Watches, step: Step) -> (Option<bool>, Vec<Event>) {
    let mut events = Vec::new();
    let tell = |watcher, event, path: &str| events.push((watcher, event, path.to_owned()));
    match step {
        Step::AddData(path, watcher) => watches.add_data(path, watcher),
        Step::AddChild(path, watcher) => watches.add_child(path, watcher),
        Step::AddPersistent(path, watcher) => watches.add_persistent(path, watcher),
        Step::AddRecursive(path, watcher) => watches.add_persistent_recursive(path, watcher),
        Step::Remove(path, kind, watcher) => return (Some(watches.remove(path, kind, watcher)), Vec::new()),
        Step::RemoveWatcher(watcher) => {
            let mut leaving = watches.take_watcher(watcher);
            while watches.remove_some(&mut leaving, 1) {}
        }
        Step::Created(path) => watches.created(path, parent_of(path), tell),
        Step::Deleted(path) => watches.deleted(path, parent_of(path), tell),
        Step::DataChanged(path) => watches.data_changed(path, tell),
    }
    // Among the watchers of one event there is no order.
    let key = |event: &Event| (event.1 as i32, event.0);
    events.sort_by_key(key);
    (None, events)
}

fn check_same(watches: &Watches, model: &Model) {
    for path in PATHS {
        for watcher in 0..6 {
            for kind in KINDS {
                let expected = model.contains(kind, path, watcher);
                assert_eq!(watches.contains(path, kind, watcher), expected, "{path:?} {kind:?} {watcher}");
            }
        }
    }
    let mut places: Vec<_> = model.0.iter().map(|watch| (watch.0 as u8, watch.1, watch.2)).collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(watches.count(), places.len());
    assert_eq!(watches.is_empty(), places.is_empty());
    let data: Vec<_> = places.iter().filter(|place| place.0 == Table::Data as u8).collect();
    let mut by_path: Vec<_> = watches
        .paths(&mut Listing::default(), usize::MAX)
        .into_iter()
        .flat_map(|(path, watchers)| watchers.into_iter().map(move |watcher| (watcher, path.clone())))
        .collect();
    let paths_of =
        |watcher| watches.paths_of(watcher, &mut Listing::default(), usize::MAX).unwrap_or_default();
    let mut by_watcher: Vec<_> =
        (1..5).flat_map(|watcher| paths_of(watcher).into_iter().map(move |path| (watcher, path))).collect();
    by_path.sort();
    by_watcher.sort();
    assert_eq!(by_path, by_watcher, "both ways of looking agree");
    assert_eq!(by_watcher.iter().map(|(id, path)| (*id, &**path)).collect::<Vec<_>>(), {
        data.iter().map(|(_, id, path)| (*id, *path)).collect::<Vec<_>>()
    });
    assert_eq!(watches.summary().2, data.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn watches_do_what_a_list_of_them_does(steps in vec(step(), 1..60)) {
        let mut watches = Watches::default();
        let mut model = Model::default();
        for step in steps {
            let (answer, mut events) = model.apply(step);
            events.sort_by_key(|event| (event.1 as i32, event.0));
            prop_assert_eq!(apply(&mut watches, step), (answer, events), "{:?}", step);
            check_same(&watches, &model);
        }
    }
}
