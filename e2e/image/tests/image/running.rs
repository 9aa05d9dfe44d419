//! The image's operator, at work in an empty root.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::Context;
use azwib_e2e::environment::{condition, repository};
use azwib_e2e::supervisor::Exit;
use azwib_e2e::{Environment, OperatorProcess};

use crate::empty_root::{EmptyRoot, by_name};
use crate::folder;
use crate::name_server::{NAME, NameServer};
use crate::unpacked::Image;

/// What a kubelet writes for a pod with the policy `ClusterFirst`.
const RESOLV_CONF: &str = "search azwib-system.svc.cluster.local svc.cluster.local cluster.local\n\
                           nameserver 127.0.0.1\n\
                           options ndots:5\n";

/// The flags of an environment's operator, with names instead of addresses, and this file of authorities or none.
fn flags(env: &Environment, ca_file: Option<&str>) -> Vec<String> {
    let is_ca = |flag: &String| flag.starts_with("--ca-file=");
    let given = env.operator_flags().into_iter().filter(|it| !is_ca(it));
    let is_azure = |flag: &str| {
        ["--authority-host=", "--resource-manager-endpoint="]
            .iter()
            .any(|it| flag.starts_with(it))
    };
    let named = given.map(|flag| {
        if is_azure(&flag) {
            by_name(&flag)
        } else {
            flag
        }
    });
    named
        .chain(ca_file.map(|it| format!("--ca-file={it}")))
        .collect()
}

/// The operator of this root, with these flags.
async fn start(
    env: &Environment,
    root: &EmptyRoot,
    flags: Vec<String>,
) -> anyhow::Result<OperatorProcess> {
    let access = env.operator_access().await?;
    let variables = BTreeMap::from(root.mount_access(&access)?);
    let (program, arguments) = root.command(flags);
    env.operator_with_access(access, arguments, variables, Some(program))
        .await
}

/// A line of a file that Linux has for each process.
fn of_process(operator: &OperatorProcess, file: &str, begin: &str) -> anyhow::Result<String> {
    let text = fs::read_to_string(format!("/proc/{}/{file}", operator.pid()))?;
    let line = text.lines().find(|line| line.starts_with(begin));
    let line = line.with_context(|| format!("no {begin} in {text}"))?;
    let words: Vec<_> = line.trim_start_matches(begin).split_whitespace().collect();
    Ok(words.join(" "))
}

#[test]
fn the_commands_that_need_no_cluster_work_in_an_empty_root() -> anyhow::Result<()> {
    let Some(folder) = folder() else {
        return Ok(());
    };
    let root = EmptyRoot::new(&Image::read(&folder)?)?;
    let run = |argument: &str| {
        let (program, arguments) = root.command(vec![argument.to_owned()]);
        let output = Command::new(program).args(arguments).output()?;
        assert!(output.status.success(), "{output:?}");
        anyhow::Ok(String::from_utf8(output.stdout)?)
    };
    let version = run("--version")?;
    assert_eq!(
        version.trim_end(),
        concat!("azwib-operator ", env!("CARGO_PKG_VERSION"))
    );
    let crds = run("crds")?;
    for kind in ["workloadidentitybindings", "identitygrants"] {
        let file = format!("config/crd/azwib.dev_{kind}.yaml");
        let definition = fs::read_to_string(repository().join(&file))?;
        let name = format!("name: {kind}.azwib.dev");
        assert!(definition.contains(&name) && crds.contains(&name), "{file}");
    }
    Ok(())
}

#[tokio::test]
async fn a_binding_becomes_ready_by_names_that_dns_resolves() -> anyhow::Result<()> {
    let Some(folder) = folder() else {
        return Ok(());
    };
    let name_server = NameServer::start()?;
    let env = Environment::without_operator().await?;
    let root = EmptyRoot::new(&Image::read(&folder)?)?;
    root.mount("/etc/resolv.conf", RESOLV_CONF)?;
    let ca = root.mount("azure-ca.pem", fs::read(env.ca())?)?;
    let operator = start(&env, &root, flags(&env, Some(&ca))).await?;

    let shop = env.namespace("image").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;
    shop.ready("orders").await?;
    assert_eq!(shop.credentials(&orders).await?.len(), 1);
    let asked = name_server.asked();
    assert!(asked.iter().any(|it| it == NAME), "{asked:?}");
    let searched = format!("{NAME}.azwib-system.svc.cluster.local");
    assert!(asked.contains(&searched), "{asked:?}");

    // As the pod's security context has it.
    let user = of_process(&operator, "uid_map", "")?;
    assert!(user.starts_with("65532 ") && user.ends_with(" 1"), "{user}");
    assert_eq!(
        of_process(&operator, "status", "CapPrm:")?,
        "0000000000000000"
    );
    assert_eq!(of_process(&operator, "status", "NoNewPrivs:")?, "1");
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", operator.pid()))?;
    let root_mount = mounts
        .lines()
        .find(|line| line.split(' ').nth(4) == Some("/"));
    let options = root_mount
        .and_then(|line| line.split(' ').nth(5))
        .unwrap_or_default();
    assert!(options.starts_with("ro"), "{mounts}");

    assert_eq!(
        operator.terminate().await?,
        Exit::Code(0),
        "{}",
        operator.log_tail()
    );
    Ok(())
}

#[tokio::test]
async fn a_private_authority_is_refused_by_its_name_and_taken_with_ca_file() -> anyhow::Result<()> {
    let Some(folder) = folder() else {
        return Ok(());
    };
    let env = Environment::without_operator().await?;
    let root = EmptyRoot::new(&Image::read(&folder)?)?;
    root.mount("/etc/hosts", format!("127.0.0.1 {NAME}\n"))?;
    let ca = root.mount("azure-ca.pem", fs::read(env.ca())?)?;
    let shop = env.namespace("image").await?;
    let orders = shop.identity("orders").await?;
    shop.bind_to("orders", &orders).await?;

    let without = start(&env, &root, flags(&env, None)).await?;
    let says = |it: &azwib_crds::WorkloadIdentityBinding| {
        condition(it, "Ready").is_some_and(|ready| ready.message.contains("UnknownIssuer"))
    };
    let refused = shop.until("orders", "refused for its issuer", says).await?;
    let ready = condition(&refused, "Ready").unwrap();
    let names = format!("cannot connect to {NAME}: invalid peer certificate: UnknownIssuer");
    assert!(
        ready.status != "True" && ready.message.contains(&names),
        "{ready:?}"
    );
    without.terminate().await?;

    let _with = start(&env, &root, flags(&env, Some(&ca))).await?;
    shop.ready("orders").await?;
    Ok(())
}
