//! The licence texts of all that is linked into the binary.

use anyhow::Context;

use crate::sbom::Toolchain;

/// Licence of the GNU C library: its file `LICENSES`, <https://sourceware.org/git/?p=glibc.git;a=blob;f=LICENSES>.
const OF_GLIBC: &str = "LGPL-2.1-or-later";

/// Licence of libgcc, which unwinds the stack: <https://www.gnu.org/licenses/gcc-exception-3.1.html>.
const OF_LIBGCC: &str = "GPL-3.0-or-later WITH GCC-exception-3.1";

/// What cargo-about found for the crates, and the licences of what no crate brings.
///
/// # Errors
/// The list of the crates is no text, or a licence is not in SPDX's list.
pub(crate) fn third_party_licenses(crates: &[u8], toolchain: &Toolchain) -> anyhow::Result<String> {
    let crates = std::str::from_utf8(crates).context("the licences of the crates are no text")?;
    let lesser = spdx::license_id(OF_GLIBC).with_context(|| format!("no licence {OF_GLIBC}"))?;
    Ok(format!(
        "{}\n\
         {RULE}\n\
         Linked in beside the crates:\n\n\
         - the standard library of Rust {}, MIT OR Apache-2.0 (both texts are above)\n\
         - the GNU C library ({}), {OF_GLIBC} (its text follows). You may link azwib with another version of it: the sources\n\
         \x20 of azwib and docs/image.md in them are all that this needs\n\
         - libgcc, {OF_LIBGCC}, which allows this use without conditions\n\n\
         {RULE}\n{OF_GLIBC}\n\n{}\n",
        crates.trim_end(),
        toolchain.rust,
        toolchain.libc(),
        lesser.text().trim_end(),
    ))
}

const RULE: &str =
    "--------------------------------------------------------------------------------";
