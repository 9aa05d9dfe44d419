//! Holds the processes of one test environment; see `azwib_e2e::supervisor`. Started by tests, demo and benchmark, not by hand.

fn main() -> anyhow::Result<()> {
    azwib_e2e::supervisor::serve()
}
