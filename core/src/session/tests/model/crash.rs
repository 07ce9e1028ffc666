//! What a crash leaves of the model's statements: the state after one of its commits.

use std::sync::Arc;

use super::{ALL, Model, State, World, Writes, children_of, rows_of};
use crate::segment::tests::tiers::seeds;
use crate::storage::fault::{Crashes, Disk, Image, Random, Survival};

/// Steps of the run of which every moment is looked at, and crashes of it.
const STEPS: usize = 60;
const CRASHES: usize = 120;

/// What was acknowledged since the disk held a state durably.
pub(super) struct Acknowledged {
    image: Image,
    state: State,
    /// What each commit wrote, and how many operations the disk had done when it was acknowledged.
    commits: Vec<(usize, Writes)>,
}

impl Acknowledged {
    pub fn new(image: Image, state: State) -> Acknowledged {
        Acknowledged {
            image,
            state,
            commits: Vec::new(),
        }
    }

    pub fn push(&mut self, ops: usize, writes: Writes) {
        self.commits.push((ops, writes));
    }

    /// The state after a crash, which has to be one that it may leave: after all that was acknowledged
    /// when the disk had done `ops` operations, or after one commit more.
    #[track_caller]
    fn check(&self, ops: usize, found: &State, context: &str) {
        let (sure, rest) = self
            .commits
            .split_at(self.commits.partition_point(|(at, _)| *at <= ops));
        let mut state = self.state.clone();
        for (_, writes) in sure {
            state.apply(writes);
        }
        if state == *found {
            return;
        }
        if let Some((_, writes)) = rest.first() {
            state.apply(writes);
        }
        assert!(
            state == *found,
            "{context}: neither the state after {} commits nor the next",
            sure.len()
        );
    }
}

fn state_of(world: &World) -> State {
    let mut client = world.client();
    State {
        rows: rows_of(&world.sql(&mut client, ALL)),
        children: children_of(&world.sql(&mut client, "SELECT id, r FROM c")),
    }
}

impl Model {
    /// What a crash now, or at some moment since the database was opened, leaves; opened again.
    fn crashed(&self, crashes: &Crashes<'_>, random: &mut Random) -> (World, State) {
        let survival = Survival::EVERY[random.within(0..5) as usize];
        let disk = Disk::with_image(crashes.image(survival, random));
        let objects = Arc::new(self.world.objects.at(crashes.at(), &disk));
        let (options, logged) = (self.world.options.clone(), self.world.logged);
        let world = World::on(disk, objects, options, logged).unwrap();
        let state = state_of(&world);
        let context = format!("crash at operation {}, {survival:?}", crashes.at());
        self.acknowledged.check(crashes.at(), &state, &context);
        assert_eq!(world.check(), Vec::<String>::new(), "{context}");
        (world, state)
    }

    /// Crashes, at this moment or an earlier one, and goes on from there.
    pub(super) fn crash(&mut self) {
        self.tending = None;
        self.actors.clear();
        let ops = self.world.disk.ops();
        let at = match self.random.within(0..3) {
            0 => ops.len(),
            _ => self.random.within(0..ops.len() as u64 + 1) as usize,
        };
        let mut random = Random(self.random.number());
        let mut crashes = Crashes::new(self.acknowledged.image.clone(), &ops);
        while crashes.at() < at && crashes.advance() {}
        let (world, state) = self.crashed(&crashes, &mut random);
        // Its disk was written to when it was opened: begin with what is durable then.
        self.world = world;
        self.committed = state;
        self.connect();
        self.define_again();
        self.actors.clear();
        self.reopen();
        self.counts.crashes += 1;
    }
}

#[test]
fn a_crash_anywhere_leaves_a_committed_state() {
    seeds(|seed, logged| {
        let mut model = Model::new(seed, logged);
        for _ in 0..STEPS {
            model.step();
        }
        let ops = model.world.disk.ops();
        let every = (ops.len() / CRASHES).max(1) as u64;
        let mut random = Random(seed);
        let mut crashes = Crashes::new(model.acknowledged.image.clone(), &ops);
        let mut count = 0;
        loop {
            if random.within(0..every) == 0 {
                model.crashed(&crashes, &mut random);
                count += 1;
            }
            if !crashes.advance() {
                break;
            }
        }
        eprintln!("seed {seed}: {count} crashes");
    });
}
