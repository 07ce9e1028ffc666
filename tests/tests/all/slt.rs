//! Every script below `tests/slt`, through both protocols, and with rows in either tier.

use std::io;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};
use omendb_tests::script::{Protocol, Tier, run};
use omendb_tests::server::ORACLE;

pub fn trials() -> Vec<Trial> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("slt");
    let mut files = Vec::new();
    collect(&root, &mut files).expect("the scripts are readable");
    files.sort();
    assert!(
        !files.is_empty(),
        "there are no scripts in {}",
        root.display()
    );
    let mut trials = Vec::new();
    let mut runs = vec![
        ("simple", Protocol::Simple, Tier::Unsealed),
        ("extended", Protocol::Extended, Tier::Unsealed),
    ];
    // PostgreSQL has nothing to seal.
    if std::env::var_os(ORACLE).is_none() {
        runs.push(("sealed", Protocol::Extended, Tier::Sealed));
        runs.push(("mixed", Protocol::Simple, Tier::Mixed));
    }
    for (label, protocol, tier) in runs {
        for file in &files {
            let path = file.clone();
            let short = file.strip_prefix(&root).unwrap_or(file).with_extension("");
            let name = format!("slt::{label}::{}", short.display());
            trials.push(Trial::test(name, move || script(&path, protocol, tier)));
        }
    }
    trials
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "slt") {
            files.push(path);
        }
    }
    Ok(())
}

fn script(path: &Path, protocol: Protocol, tier: Tier) -> Result<(), Failed> {
    let verdict = run(path, protocol, tier)?;
    if verdict.failures.is_empty() {
        return Ok(());
    }
    let (bad, good) = (verdict.failures.len(), verdict.passed);
    let list = verdict.failures.join("\n");
    Err(format!("{bad} records failed, {good} passed\n{list}").into())
}
