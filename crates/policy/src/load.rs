//! Reading a bundle from a directory.

use crate::{BundleError, Module};
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;

/// The modules and the data of a directory: every `.rego` below it but tests (`_test.rego`), and every
/// `data.json`, whose place in the directory is its path under `data`, as in OPA's bundles.
pub(crate) fn read_dir(root: &Path) -> Result<(Vec<Module>, Map<String, Value>), BundleError> {
    let mut found = (Vec::new(), Map::new());
    visit(root, "", &mut found.0, &mut found.1)?;
    found.0.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn visit(
    dir: &Path,
    prefix: &str,
    modules: &mut Vec<Module>,
    data: &mut Map<String, Value>,
) -> Result<(), BundleError> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |source| BundleError::Read { path, source }
    };
    for entry in fs::read_dir(dir).map_err(failed(dir))? {
        let path = entry.map_err(failed(dir))?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = format!("{prefix}{file}");
        if path.is_dir() {
            if !file.starts_with('.') {
                visit(&path, &format!("{name}/"), modules, data)?;
            }
        } else if file == "data.json" {
            let bytes = fs::read(&path).map_err(failed(&path))?;
            add_data(&name, prefix, &bytes, data)?;
        } else if file.ends_with(".rego") && !file.ends_with("_test.rego") {
            let source = fs::read_to_string(&path).map_err(failed(&path))?;
            modules.push(Module { name, source });
        }
    }
    Ok(())
}

fn add_data(name: &str, prefix: &str, json: &[u8], data: &mut Map<String, Value>) -> Result<(), BundleError> {
    let wrong = |source| BundleError::Data { path: name.to_owned(), source };
    let Value::Object(found) = serde_json::from_slice(json).map_err(|e| wrong(Some(e)))? else {
        return Err(wrong(None));
    };
    let mut place = data;
    for part in prefix.split_terminator('/') {
        let below = place.entry(part).or_insert_with(|| Value::Object(Map::new()));
        place = below.as_object_mut().ok_or_else(|| wrong(None))?;
    }
    for (key, value) in found {
        if place.insert(key.clone(), value).is_some() {
            return Err(BundleError::Conflict(format!("{name}: '{key}' is there twice")));
        }
    }
    Ok(())
}
