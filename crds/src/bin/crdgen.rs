//! Writes the CustomResourceDefinitions into `config/crd/`; with `--check`, tells instead whether that folder is up to date.

use std::env;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

/// The folder of the generated files, from the root of the repository.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/crd");

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [] => write(Path::new(FOLDER)),
        [flag] if flag == "--check" => check(Path::new(FOLDER)),
        _ => Err("usage: crdgen [--check]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crdgen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> Result<(), Box<dyn Error>> {
    let path = folder.join(azwib_crds::CRD_FILE_NAME);
    fs::write(&path, azwib_crds::crd_yaml()?)
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    println!("wrote config/crd/{}", azwib_crds::CRD_FILE_NAME);
    Ok(())
}

fn check(folder: &Path) -> Result<(), Box<dyn Error>> {
    let path = folder.join(azwib_crds::CRD_FILE_NAME);
    let name = format!("config/crd/{}", azwib_crds::CRD_FILE_NAME);
    let current =
        fs::read_to_string(&path).map_err(|error| format!("cannot read {name}: {error}"))?;
    if current != azwib_crds::crd_yaml()? {
        return Err(format!("{name} differs from the types in crds/; run `make crds`").into());
    }
    Ok(())
}
