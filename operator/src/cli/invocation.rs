//! What the binary was called to do: run the operator, or one of its [commands](crate::commands).

use std::ffi::OsString;

use clap::{Args, Command, CommandFactory, FromArgMatches};

use super::flags::Cli;
use crate::commands::release::Release;

const CRDS: &str = "crds";
const RELEASE: &str = "release";

/// What to do.
#[derive(Debug)]
pub enum Invocation {
    /// Run the operator.
    Run(Box<Cli>),
    /// Print the CustomResourceDefinitions.
    Crds,
    /// Leave everything as it is, without azwib.
    Release(Release),
}

impl Invocation {
    /// From the arguments of the process, the name of the binary first.
    ///
    /// # Errors
    /// An argument is missing, unknown or has no such value; and for `--help` and `--version`, whose text the error is.
    pub fn parse(
        arguments: impl IntoIterator<Item: Into<OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        let matches = command().try_get_matches_from(arguments)?;
        match matches.subcommand() {
            Some((RELEASE, matches)) => Ok(Self::Release(Release::from_arg_matches(matches)?)),
            Some(_) => Ok(Self::Crds),
            None => Ok(Self::Run(Box::new(Cli::from_arg_matches(&matches)?))),
        }
    }
}

/// The flags of the operator, and the commands, which take none of them.
fn command() -> Command {
    let crds = Command::new(CRDS)
        .about("Print the CustomResourceDefinitions of this build as YAML")
        .long_about(
            "Print the CustomResourceDefinitions of this build as YAML. Install them with: azwib-operator crds | kubectl apply \
             --server-side --filename=-",
        );
    let release = Release::augment_args(Command::new(RELEASE))
        .about("Leave everything running without azwib: take finalizers off bindings, and bindings off the owners of ServiceAccounts")
        .long_about(
            "Leave everything running without azwib: take the finalizer azwib.dev/cleanup off bindings, and bindings off the owners of \
             ServiceAccounts. Accounts keep their annotations, and Azure keeps the credentials. Scale the operator to zero first: it would \
             put all of it back. KUBECONFIG says which cluster.",
        );
    Cli::command()
        .subcommands([crds, release])
        .subcommand_negates_reqs(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &str) -> Result<Invocation, String> {
        let all = ["azwib-operator"].into_iter().chain(arguments.split(' '));
        Invocation::parse(all).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_alone_run_the_operator_and_a_command_needs_none_of_them() {
        let run = parsed("--issuer=https://oidc.example/").unwrap();
        assert!(matches!(run, Invocation::Run(cli) if cli.issuer == "https://oidc.example/"));
        assert!(matches!(parsed("crds").unwrap(), Invocation::Crds));
        let Invocation::Release(release) = parsed("release --all --dry-run").unwrap() else {
            panic!("another command");
        };
        assert!(release.all && release.dry_run);
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        for (arguments, named) in [
            ("--cloud=germany", "--cloud"),
            ("release", "--all"),
            ("release --all=false", "--all"),
            ("remove", "remove"),
            ("crds --all", "--all"),
        ] {
            let refused = parsed(arguments).expect_err(arguments);
            assert!(refused.contains(named), "{arguments}: {refused}");
        }
    }
}
