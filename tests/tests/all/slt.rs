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
            let known = known(&root, &short.display().to_string(), protocol);
            trials.push(Trial::test(name, move || {
                script(&path, protocol, tier, &known)
            }));
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

/// Runs a script. Records that `known-failures.txt` lists are expected to fail, and only they.
fn script(path: &Path, protocol: Protocol, tier: Tier, known: &[String]) -> Result<(), Failed> {
    let verdict = run(path, protocol, tier)?;
    let keys: Vec<&str> = verdict
        .failures
        .iter()
        .map(|failure| sql(failure))
        .collect();
    let mut problems: Vec<String> = verdict
        .failures
        .iter()
        .zip(&keys)
        .filter(|(_, key)| !known.iter().any(|known| known == *key))
        .map(|(failure, _)| failure.clone())
        .collect();
    problems.extend(
        known
            .iter()
            .filter(|known| !keys.contains(&known.as_str()))
            .map(|known| format!("passes now, so take it off known-failures.txt: {known}")),
    );
    if problems.is_empty() {
        return Ok(());
    }
    let (bad, good) = (problems.len(), verdict.passed);
    let list = problems.join("\n");
    Err(format!("{bad} records failed, {good} passed\n{list}").into())
}

/// The first line of the statement that a failure is about.
fn sql(failure: &str) -> &str {
    let text = failure
        .split_once("[SQL] ")
        .map_or(failure, |(_, rest)| rest);
    text.lines().next().unwrap_or(text).trim()
}

/// What `known-failures.txt` lists for a script and a protocol: lines of `script protocol SQL`.
fn known(root: &Path, script: &str, protocol: Protocol) -> Vec<String> {
    let text = std::fs::read_to_string(root.join("known-failures.txt")).unwrap_or_default();
    let place = format!("{script} {} ", protocol.label());
    text.lines()
        .filter_map(|line| line.strip_prefix(&place))
        .map(str::to_owned)
        .collect()
}
