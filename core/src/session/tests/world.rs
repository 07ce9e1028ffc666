//! A database on a disk that remembers what was written when, and its clients.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::runtime::{Builder, Runtime};

use crate::env::{Committer, Entropy};
use crate::error::{Error, Result};
use crate::query::QueryOptions;
use crate::segment;
use crate::segment::tests::timeline::Timeline;
use crate::session::{
    ConnectOptions, Database, DatabaseOptions, RowBlock, Session, SqlSession, Step,
};
use crate::storage::Options;
use crate::storage::fault::{Disk, Random};
use crate::storage::tests::support::env;

pub type Row = Vec<Option<String>>;
pub type Answer = Result<Vec<Row>>;

/// Polls after which a future waits for something that nobody does.
const MOST_POLLS: usize = 20_000;

pub struct World {
    pub runtime: Runtime,
    pub disk: Disk,
    pub objects: Arc<Timeline>,
    pub database: Database,
    pub options: DatabaseOptions,
    /// Whether commits go to a log first.
    pub logged: bool,
}

/// Well mixed numbers, always the same: locks are named by hashes with a secret, and with a bad one rows
/// share locks.
struct Mixed;

impl Entropy for Mixed {
    fn fill(&self, out: &mut [u8]) {
        let mut random = Random(out.len() as u64);
        for byte in out {
            *byte = random.number() as u8;
        }
    }
}

/// Segments so small that a few rows make several.
pub fn small(options: &mut segment::Options) {
    options.write.rows = 48;
    options.write.group_rows = 16;
    options.seal_rows = 30;
    options.load_rows = 10;
}

fn open(
    runtime: &Runtime,
    disk: &Disk,
    objects: &Arc<Timeline>,
    options: &DatabaseOptions,
    logged: bool,
) -> Result<Database> {
    let mut env = env(Committer::Inline);
    env.entropy = Arc::new(Mixed);
    runtime.block_on(Database::open(
        disk.backend(),
        logged.then(|| disk.log()),
        objects.clone(),
        options,
        env,
    ))
}

impl World {
    pub fn new(change: impl FnOnce(&mut segment::Options)) -> World {
        World::logged(change, false)
    }

    pub fn logged(change: impl FnOnce(&mut segment::Options), logged: bool) -> World {
        let mut segments = segment::Options::default();
        change(&mut segments);
        let options = DatabaseOptions {
            storage: Options {
                cache_bytes: 8 << 20,
            },
            segments,
            query: QueryOptions {
                memory_bytes: 256 << 20,
                column_cache_bytes: 1 << 20,
                parallelism: 1,
            },
            transaction_memory: 64 << 20,
            owner: "postgres".into(),
        };
        let disk = Disk::default();
        let objects = Arc::new(Timeline::new(&disk));
        World::on(disk, objects, options, logged).unwrap()
    }

    /// The database that is there.
    pub fn on(
        disk: Disk,
        objects: Arc<Timeline>,
        options: DatabaseOptions,
        logged: bool,
    ) -> Result<World> {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let database = open(&runtime, &disk, &objects, &options, logged)?;
        Ok(World {
            runtime,
            disk,
            objects,
            database,
            options,
            logged,
        })
    }

    /// Closes the database and opens it again. No client may be left.
    pub fn reopen(&mut self) {
        self.database.close().unwrap();
        self.database = open(
            &self.runtime,
            &self.disk,
            &self.objects,
            &self.options,
            self.logged,
        )
        .unwrap();
    }

    /// Closes the database and opens it on another disk, on which all of it is durable. No client may be
    /// left.
    pub fn move_on(&mut self) {
        self.database.close().unwrap();
        let disk = Disk::with_image(self.disk.image());
        let objects = Arc::new(self.objects.at(usize::MAX, &disk));
        *self = World::on(disk, objects, self.options.clone(), self.logged).unwrap();
    }

    pub fn client(&self) -> Client {
        let options = ConnectOptions {
            user: "postgres".into(),
            database: "postgres".into(),
            parameters: Vec::new(),
            process_id: 0,
        };
        Client(self.database.connect(options).unwrap())
    }

    /// Runs a future that waits for nobody.
    #[track_caller]
    pub fn now<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        let done = self.poll(future.as_mut(), MOST_POLLS);
        match done {
            Some(done) => done,
            None => panic!("it waits: {:?}", self.database.engine.transactions.locks()),
        }
    }

    /// Lets a future go on for a while.
    pub fn poll<T>(
        &self,
        mut future: Pin<&mut (impl Future<Output = T> + ?Sized)>,
        times: usize,
    ) -> Option<T> {
        self.runtime.block_on(async {
            for _ in 0..times {
                let polled = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
                if let Poll::Ready(done) = polled {
                    return Some(done);
                }
                tokio::task::yield_now().await;
            }
            None
        })
    }

    /// Runs a statement that waits for nobody.
    #[track_caller]
    pub fn try_sql(&self, client: &mut Client, sql: &str) -> Answer {
        self.now(run(&mut client.0, sql, ""))
    }

    #[track_caller]
    pub fn sql(&self, client: &mut Client, sql: &str) -> Vec<Row> {
        match self.try_sql(client, sql) {
            Ok(rows) => rows,
            Err(error) => panic!("{sql}\n{error}: {:?}", error.fields().detail),
        }
    }

    /// Runs a statement, which may wait.
    pub fn start(&self, client: Client, sql: &str) -> Running {
        let sql = sql.to_owned();
        Box::pin(async move {
            let mut client = client;
            let answer = run(&mut client.0, &sql, "").await;
            (client, answer)
        })
    }

    /// COPY … FROM STDIN, its data in pieces of some bytes.
    pub fn copy(&self, client: &mut Client, sql: &str, data: &str) -> Answer {
        self.now(run(&mut client.0, sql, data))
    }

    /// How often anybody has waited for a lock since the database was opened.
    pub fn lock_waits(&self) -> u64 {
        self.database.engine.transactions.lock_waits()
    }

    /// How many wait for locks.
    pub fn waiting(&self) -> usize {
        let locks = self.database.engine.transactions.locks();
        locks.iter().filter(|lock| !lock.granted).count()
    }

    /// Bytes of the columns of unsealed rows that are kept.
    pub fn kept_bytes(&self) -> usize {
        self.database.engine.query.memory().1
    }

    /// What `omendb check` says.
    pub fn check(&self) -> Vec<String> {
        self.now(self.database.check()).unwrap()
    }
}

pub struct Client(pub Session);
pub type Running = Pin<Box<dyn Future<Output = (Client, Answer)>>>;

/// Runs a statement; `data` is what a COPY FROM STDIN takes.
pub async fn run(session: &mut Session, sql: &str, data: &str) -> Answer {
    let ran = steps(session, sql, data).await;
    if ran.is_err() {
        // What a host does after an error of the simple protocol.
        session.sync().await?;
    }
    ran
}

async fn steps(session: &mut Session, sql: &str, data: &str) -> Answer {
    session.simple(sql).await?;
    let mut all = Vec::new();
    while let Some(step) = session.next_simple().await? {
        match step {
            Step::Rows(block) => all.extend(cells(&block)?),
            Step::CopyIn(_) => {
                for piece in data.as_bytes().chunks(100) {
                    session.copy_data(piece).await?;
                }
                session.copy_done().await?;
            }
            _ => {}
        }
    }
    Ok(all)
}

fn cells(block: &RowBlock) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for row in 0..block.rows.len() {
        let mut cells = Vec::new();
        for column in 0..block.columns.len() {
            let mut bytes = Vec::new();
            let present = block.write_cell(row, column, &mut bytes)?;
            cells.push(present.then(|| String::from_utf8_lossy(&bytes).into_owned()));
        }
        rows.push(cells);
    }
    Ok(rows)
}

/// The only value of an answer.
pub fn one(rows: &[Row]) -> &str {
    match rows {
        [row] => match row.as_slice() {
            [Some(value)] => value,
            other => panic!("{other:?}"),
        },
        other => panic!("{} rows", other.len()),
    }
}

pub fn code(answer: Answer) -> String {
    let error: Error = answer.expect_err("an error");
    error.state().code().to_owned()
}
