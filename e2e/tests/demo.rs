//! The demo shows what it promises, says what went wrong, and leaves nothing behind however it ends.
#![allow(
    clippy::unwrap_used,
    reason = "outside of test functions too, this file is a test"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;

/// A demo whose temporary files are in a folder of its own, by which its processes are known too.
struct Demo {
    child: Child,
    temporary: TempDir,
}

impl Demo {
    fn start(arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let temporary = tempfile::Builder::new().prefix("azwib-demo-").tempdir()?;
        let child = Command::new(env!("CARGO_BIN_EXE_demo"))
            .args(arguments)
            .envs(environment.iter().copied())
            .env("TMPDIR", temporary.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        Ok(Self { child, temporary })
    }

    /// Reads a stream to the line that contains this, inclusive.
    fn read_until(stream: &mut impl BufRead, what: &str) -> anyhow::Result<String> {
        let mut text = String::new();
        while !text.lines().last().is_some_and(|line| line.contains(what)) {
            let read = stream.read_line(&mut text)?;
            anyhow::ensure!(read > 0, "no line says {what:?}:\n{text}");
        }
        Ok(text)
    }

    /// As a terminal does on Ctrl-C: to the whole foreground group.
    fn interrupt(&self) -> anyhow::Result<()> {
        let group = Pid::from_raw(i32::try_from(self.child.id())?).context("a pid")?;
        Ok(kill_process_group(group, Signal::INT)?)
    }

    /// Waits for its end: exit status, standard output, standard error; and checks that nothing is left.
    fn finish(mut self) -> anyhow::Result<(ExitStatus, String, String)> {
        let mut stderr = self.child.stderr.take();
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            if let Some(stderr) = &mut stderr {
                stderr.read_to_string(&mut text)?;
            }
            std::io::Result::Ok(text)
        });
        let mut output = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut output)?;
        }
        let status = self.child.wait()?;
        let errors = errors.join().unwrap()?;
        let left: Vec<_> = fs::read_dir(self.temporary.path())?.collect();
        assert!(left.is_empty(), "{left:?}\n{errors}");
        let left = processes_of(self.temporary.path());
        assert!(left.is_empty(), "{left:?}\n{errors}");
        Ok((status, output, errors))
    }
}

/// The command lines of all processes that know of the folder, by an argument or a variable.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let knows = |text: &[u8]| String::from_utf8_lossy(text).contains(folder);
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| {
            let arguments = fs::read(process.path().join("cmdline")).ok()?;
            let variables = fs::read(process.path().join("environ")).ok()?;
            let line = String::from_utf8_lossy(&arguments).replace('\0', " ");
            (knows(&arguments) || knows(&variables)).then_some(line)
        })
        .collect()
}

#[test]
fn once_it_shows_the_bindings_the_pod_and_the_exchange_and_ends() -> anyhow::Result<()> {
    let (status, output, errors) = Demo::start(&["--once"], &[])?.finish()?;
    assert!(status.success(), "{output}\n{errors}");

    for step in [
        "starting the Azure simulator",
        "kubectl apply -k examples",
        "shop/orders is Ready",
        "shop-batch/settlement is Ready",
        "all of it is gone",
    ] {
        assert!(errors.contains(step), "{step}\n{errors}");
    }
    let bindings: Vec<_> = output
        .lines()
        .skip_while(|line| !line.contains("NAMESPACE"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .collect();
    assert_eq!(bindings.len(), 8, "{output}");
    for binding in &bindings {
        assert!(binding.contains("True    Succeeded"), "{binding}");
    }
    assert_eq!(columns(&bindings), columns(&sample_of_the_readme()?));

    let value = |name: &str| {
        let line = output
            .lines()
            .find_map(|line| line.trim().strip_prefix(name));
        line.map(|rest| rest.split(' ').next().unwrap().to_owned())
            .with_context(|| format!("{name}\n{output}"))
    };
    assert_eq!(value("AZURE_CLIENT_ID=")?, value("appid ")?);
    let endpoint = format!(
        "{}/{}/oauth2/v2.0/token",
        value("AZURE_AUTHORITY_HOST=")?,
        value("AZURE_TENANT_ID=")?
    );
    assert_eq!(value("POST ")?, endpoint);
    assert!(value("AZURE_FEDERATED_TOKEN_FILE=")?.starts_with('/'));
    assert!(output.contains("OK: the pod acts as /subscriptions/"));
    for (said, what) in [
        ("refused:", "no IdentityGrant lets"),
        ("granted:", "\"guest\""),
        ("revoked:", "is taken away at"),
        ("at last:", "was taken away"),
    ] {
        let line = output.lines().find(|line| line.trim().starts_with(said));
        let line = line.with_context(|| format!("{said}\n{output}"))?;
        assert!(line.contains(what), "{line}");
    }
    assert!(!output.contains("KUBECONFIG"), "it does not stay: {output}");
    // Every JWT begins with the encoding of `{"`.
    assert!(
        !output.contains("eyJ") && !errors.contains("eyJ"),
        "a token"
    );
    Ok(())
}

/// The columns that do not depend on the time: all before AGE.
fn columns<'a>(lines: &[&'a str]) -> Vec<Vec<&'a str>> {
    lines
        .iter()
        .map(|line| line.split_whitespace().take(6).collect())
        .collect()
}

/// The bindings that the README shows.
fn sample_of_the_readme() -> anyhow::Result<Vec<&'static str>> {
    let readme = include_str!("../../README.md");
    let sample = readme.split_once("$ kubectl get azwib -A\n");
    let (_, sample) = sample.context("the README has no sample")?;
    let lines = sample.lines().skip(1);
    Ok(lines.take_while(|line| !line.starts_with("```")).collect())
}

#[test]
fn it_stays_usable_until_it_is_interrupted() -> anyhow::Result<()> {
    let mut demo = Demo::start(&[], &[])?;
    let mut stdout = BufReader::new(demo.child.stdout.take().context("a pipe")?);
    let shown = Demo::read_until(&mut stdout, "Ctrl-C ends all of it")?;
    // As a newcomer would paste it, from the checkout's folder.
    let commands = |first: &str| -> String {
        let lines = shown.lines().map(str::trim);
        lines
            .filter(|line| line.starts_with(first))
            .map(|line| format!("{line}\n"))
            .collect()
    };
    let script = format!(
        "set -e\n{}{}kubectl wait azwib orders -n shop --for=condition=Ready --timeout=60s\n\
         kubectl get serviceaccount orders -n shop -o jsonpath='{{.metadata.annotations}}'",
        commands("export "),
        commands("kubectl "),
    );
    let tried = Command::new("sh")
        .args(["-c", &script])
        .current_dir(azwib_e2e::environment::repository())
        .output()?;
    let output = String::from_utf8_lossy(&tried.stdout);
    for said in [
        "orders annotated",
        "\"orders\" deleted",
        "orders created",
        "orders condition met",
        "azure.workload.identity/client-id",
    ] {
        assert!(output.contains(said), "{said}: {script}\n{tried:?}");
    }
    assert!(tried.status.success(), "{script}\n{tried:?}");

    let running = processes_of(demo.temporary.path());
    for name in [
        "etcd",
        "kube-apiserver",
        "webhook",
        "azwib-operator",
        "azure-simulator",
    ] {
        assert!(
            running.iter().any(|line| line.contains(name)),
            "{running:?}"
        );
    }
    demo.interrupt()?;
    let (status, _, errors) = demo.finish()?;
    assert!(status.success(), "{status}: {errors}");
    assert!(errors.contains("all of it is gone"), "{errors}");
    Ok(())
}

#[test]
fn interrupted_on_the_way_it_leaves_nothing_behind() -> anyhow::Result<()> {
    for step in ["starting etcd", "waiting until the bindings are Ready"] {
        let mut demo = Demo::start(&[], &[])?;
        let mut stderr = BufReader::new(demo.child.stderr.take().context("a pipe")?);
        Demo::read_until(&mut stderr, step)?;
        demo.interrupt()?;
        demo.child.stderr = Some(stderr.into_inner());
        let (status, _, errors) = demo.finish()?;
        assert_eq!(status.code(), Some(130), "{step}: {errors}");
        assert!(errors.contains("interrupted"), "{errors}");
    }
    Ok(())
}

#[test]
fn what_fails_is_named_with_the_end_of_its_log() -> anyhow::Result<()> {
    // A program that is no operator: it does not know the flags.
    let no_operator = [("AZWIB_OPERATOR_BIN", "/bin/cat"), ("RUST_BACKTRACE", "1")];
    let (status, output, errors) = Demo::start(&["--once"], &no_operator)?.finish()?;
    assert_eq!(status.code(), Some(1), "{output}\n{errors}");
    assert!(
        errors.contains("failed while waiting until the bindings are Ready"),
        "{errors}"
    );
    for why in [
        "the operator ended with exit code 1",
        "shop/orders (no status yet)",
    ] {
        assert!(errors.contains(why), "{why}: {errors}");
    }
    assert!(errors.contains("cat: unrecognized option"), "{errors}");
    assert!(!errors.contains("backtrace"), "{errors}");
    Ok(())
}
