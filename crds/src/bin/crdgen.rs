//! Writes what follows from the types in `crds/`: the CustomResourceDefinitions, for kustomize and for the chart, their references, and the
//! schema of the values of the chart of grants. With `--check`, tells instead whether they are up to date.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

/// The pages whose generated parts follow from the definitions, in the order of [`azwib_crds::crds`].
const REFERENCES: [&str; 2] = ["docs/reference/api.md", "docs/reference/grants.md"];

/// The folders that hold the definitions. Helm reads only files within a chart.
const DEFINITIONS: [&str; 2] = ["config/crd", "config/charts/azwib/files/crds"];

/// The schema of the values of the chart of grants.
const GRANTS_VALUES: &str = "config/charts/azwib-grants/values.schema.json";

/// A generated file.
struct Generated {
    /// From the root of the repository.
    name: String,
    content: String,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.as_slice() {
        [] => generated().and_then(|files| files.iter().try_for_each(write)),
        [flag] if flag == "--check" => {
            generated().and_then(|files| files.iter().try_for_each(check))
        }
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

fn generated() -> Result<Vec<Generated>, Box<dyn Error>> {
    let mut files = Vec::new();
    for (crd, reference) in azwib_crds::crds().iter().zip(REFERENCES) {
        for folder in DEFINITIONS {
            files.push(Generated {
                name: format!("{folder}/{}", azwib_crds::crd_file_name(crd)),
                content: azwib_crds::crd_yaml(crd)?,
            });
        }
        let page = azwib_crds::updated_page(&read(reference)?, crd);
        files.push(Generated {
            name: reference.to_owned(),
            content: page.ok_or_else(|| format!("{reference} has no marker comments"))?,
        });
    }
    files.push(Generated {
        name: GRANTS_VALUES.to_owned(),
        content: azwib_crds::grants_values_schema(&azwib_crds::grant_crd())
            .ok_or("the definition of IdentityGrant has no schema of a spec")?,
    });
    Ok(files)
}

fn write(file: &Generated) -> Result<(), Box<dyn Error>> {
    fs::write(path(&file.name), &file.content)
        .map_err(|error| format!("cannot write {}: {error}", file.name))?;
    println!("wrote {}", file.name);
    Ok(())
}

fn check(file: &Generated) -> Result<(), Box<dyn Error>> {
    let name = &file.name;
    if read(name)? != file.content {
        return Err(format!("{name} differs from the types in crds/; run `make crds`").into());
    }
    Ok(())
}

fn read(name: &str) -> Result<String, String> {
    fs::read_to_string(path(name)).map_err(|error| format!("cannot read {name}: {error}"))
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(name)
}
