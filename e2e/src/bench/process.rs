//! What Linux tells of processes and of the machine, in /proc.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

/// Where the figures come from. Not the name of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Machine {
    /// As many as this program may use.
    pub(super) cores: usize,
    pub(super) memory_mib: u64,
    pub(super) cpu: String,
    pub(super) os: String,
}

impl Machine {
    /// This machine.
    ///
    /// # Errors
    /// It is not Linux.
    pub(super) fn this() -> anyhow::Result<Self> {
        let cpu = read("/proc/cpuinfo")?;
        let cpu = field(&cpu, "model name").unwrap_or("unknown").to_owned();
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let distribution = release
            .lines()
            .find_map(|line| line.strip_prefix("PRETTY_NAME="))
            .unwrap_or("an unknown distribution")
            .trim_matches('"');
        let kernel = read("/proc/sys/kernel/osrelease")?;
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            memory_mib: kibibytes(&read("/proc/meminfo")?, "MemTotal")? / 1024,
            cpu,
            os: format!("{distribution}, Linux {}", kernel.trim()),
        })
    }
}

/// Processor time by program.
pub(super) type Cpu = BTreeMap<String, Duration>;

/// The processor time that a process has used so far.
///
/// # Errors
/// There is no such process.
pub(super) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    Ok(Stat::of(pid)?.cpu)
}

/// The most memory (MiB) that a process had resident so far.
///
/// # Errors
/// There is no such process.
pub(crate) fn peak_memory(pid: u32) -> anyhow::Result<f64> {
    status(pid, "VmHWM")
}

/// The memory (MiB) that a process has resident now.
///
/// # Errors
/// There is no such process.
pub(super) fn memory(pid: u32) -> anyhow::Result<f64> {
    status(pid, "VmRSS")
}

/// A field of /proc/<pid>/status that is in kB, in MiB.
fn status(pid: u32, key: &str) -> anyhow::Result<f64> {
    let status = read(&format!("/proc/{pid}/status"))?;
    let kibibytes = kibibytes(&status, key)? as f64;
    Ok((kibibytes / 1024.0 * 10.0).round() / 10.0)
}

/// Processor time used so far by this program and each program below it, by name (as Linux cuts it, to 15 characters).
///
/// # Errors
/// /proc cannot be read.
pub(super) fn cpu_by_program() -> anyhow::Result<Cpu> {
    let pids =
        fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // One that has ended meanwhile is none.
    let stats: BTreeMap<u32, Stat> = pids
        .filter_map(|pid| Some((pid, Stat::of(pid).ok()?)))
        .collect();
    let this = std::process::id();
    let is_ours = |pid: u32| {
        let mut ancestors = std::iter::successors(Some(pid), |pid| Some(stats.get(pid)?.parent));
        ancestors.any(|pid| pid == this)
    };
    let mut programs = BTreeMap::new();
    for (pid, stat) in &stats {
        if is_ours(*pid) {
            *programs.entry(stat.program.clone()).or_default() += stat.cpu;
        }
    }
    Ok(programs)
}

/// What each program has used since it had used so much.
pub(super) fn difference(after: Cpu, before: &Cpu) -> Cpu {
    let used = |name: &String| before.get(name).copied().unwrap_or_default();
    after
        .into_iter()
        .map(|(name, cpu)| {
            let cpu = cpu.saturating_sub(used(&name));
            (name, cpu)
        })
        .collect()
}

/// The fields of /proc/<pid>/stat that are of use here.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    program: String,
    parent: u32,
    cpu: Duration,
}

impl Stat {
    fn of(pid: u32) -> anyhow::Result<Self> {
        let text = read(&format!("/proc/{pid}/stat"))?;
        let ticks = rustix::param::clock_ticks_per_second();
        Self::parse(&text, ticks).with_context(|| format!("/proc/{pid}/stat is {text:?}"))
    }

    /// The program's name stands in brackets and may hold any character; `ticks` are those of a second.
    fn parse(text: &str, ticks: u64) -> Option<Self> {
        let (before, after) = text.rsplit_once(')')?;
        let (_, program) = before.split_once('(')?;
        let fields: Vec<_> = after.split_whitespace().collect();
        // proc_pid_stat(5) counts from 1 and this from its field 3: parent 4, utime 14, stime 15.
        let used: u64 =
            fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(Self {
            program: program.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            cpu: Duration::from_secs_f64(used as f64 / ticks as f64),
        })
    }
}

fn read(path: &str) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {path}"))
}

/// The value of `key: value` in a text of such lines.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let values = text.lines().filter_map(|line| line.split_once(':'));
    values
        .filter(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim())
        .next()
}

fn kibibytes(text: &str, key: &str) -> anyhow::Result<u64> {
    let value = field(text, key).and_then(|value| value.strip_suffix(" kB"));
    Ok(value
        .with_context(|| format!("no {key} in kB"))?
        .trim()
        .parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name_holds() {
        let text = "17 (a) (b c) S 4 17 17 0 -1 4194304 9 0 0 0 250 50 0 0 20 0 3 0 100 1 2";
        let expected = Stat {
            program: "a) (b c".to_owned(),
            parent: 4,
            cpu: Duration::from_secs(3),
        };
        assert_eq!(Stat::parse(text, 100), Some(expected));
        assert_eq!(Stat::parse("17 (a) S 4", 100), None);
    }

    #[test]
    fn memory_is_read_in_kibibytes() {
        let status = "Name:\tazwib-operator\nVmPeak:\t  9999 kB\nVmHWM:\t   2048 kB\n";
        assert_eq!(kibibytes(status, "VmHWM").unwrap(), 2048);
        assert!(kibibytes(status, "VmRSS").is_err());
    }

    #[test]
    fn this_program_has_used_time_and_memory_on_this_machine() {
        let name = fs::read_to_string("/proc/self/comm").unwrap();
        assert!(cpu_by_program().unwrap().contains_key(name.trim()));
        assert!(peak_memory(std::process::id()).unwrap() > 1.0);
        let machine = Machine::this().unwrap();
        assert!(
            machine.cores >= 1 && machine.memory_mib > 100,
            "{machine:?}"
        );
    }
}
