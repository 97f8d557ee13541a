//! From uploaded bytes to something that instances are made of.

use bytes::Bytes;
use greenroom_model::ComponentHash;
use sha2::{Digest, Sha256};
use tracing::warn;
use wasmtime::ResourcesRequired;
use wasmtime::component::Component;

use crate::bindings::ActorPre;
use crate::ctx::Ctx;
use crate::engine::{Engine, MEMORIES_MAX};

/// What a component may import, by the start of the import's name.
const GRANTED: &[&str] = &[
    "greenroom:actor/",
    "wasi:io/",
    "wasi:clocks/",
    "wasi:random/",
    "wasi:cli/",
    "wasi:http/types@",
];

/// Why an upload is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Not a component at all.
    #[error("it is not a WebAssembly component: {0}")]
    Invalid(String),
    /// It lacks an export, or has one of another type, or wants an import of another type.
    #[error("it is not an actor of greenroom:actor@0.1.0: {0}")]
    WrongWorld(String),
    /// It imports what actors are not given.
    #[error("it imports {0}, which actors are not given")]
    NotGranted(String),
    /// It needs more than one actor may have, before it has done anything.
    #[error("it needs {0}")]
    TooLarge(String),
    /// It cannot describe itself, or not within the rules.
    #[error("its description of itself is no good: {0}")]
    BadDescription(String),
}

/// A component, compiled and linked. Cheap to clone.
#[derive(Clone)]
pub struct Compiled {
    pre: ActorPre<Ctx>,
    hash: ComponentHash,
}

impl Compiled {
    pub(crate) const fn pre(&self) -> &ActorPre<Ctx> {
        &self.pre
    }

    /// The names of what it imports.
    pub(crate) fn imports(&self, engine: &Engine) -> Vec<String> {
        let component_type = self.pre.instance_pre().component().component_type();
        let imports = component_type.imports(engine.wasmtime());
        imports.map(|(name, _)| name.to_owned()).collect()
    }

    /// How much memory an instance has to begin with, in bytes.
    #[must_use]
    pub fn initial_memory_bytes(&self) -> u64 {
        let component = self.pre.instance_pre().component();
        let needs = component.resources_required();
        needs.as_ref().map_or(0, first_memory_bytes)
    }

    /// The hash of the bytes it was compiled from.
    #[must_use]
    pub const fn hash(&self) -> ComponentHash {
        self.hash
    }
}

impl Engine {
    /// The hash by which a component's bytes are known.
    #[must_use]
    pub fn hash(bytes: &[u8]) -> ComponentHash {
        ComponentHash(Sha256::digest(bytes).into())
    }

    /// Loads the component from the cache, or compiles `bytes` and keeps the result there.
    ///
    /// Takes CPU seconds on every core for a large component.
    ///
    /// # Errors
    ///
    /// [`Refused`], if it is not a component that can be an actor here.
    pub async fn compile(&self, bytes: Bytes) -> Result<Compiled, Refused> {
        let engine = self.clone();
        let compiling = tokio::task::spawn_blocking(move || engine.compile_blocking(&bytes));
        // A panic in the compiler is a fault of the component as far as anybody can tell.
        compiling
            .await
            .unwrap_or_else(|e| Err(Refused::Invalid(e.to_string())))
    }

    /// Forgets what was compiled from a component that is not wanted after all.
    pub async fn forget(&self, hash: ComponentHash) {
        let engine = self.clone();
        // It only removes files; a panic there would have been reported by the panic hook.
        _ = tokio::task::spawn_blocking(move || engine.cache().forget(hash)).await;
    }

    /// Forgets everything that was compiled from other components than these, or for another wasmtime.
    pub async fn prune(&self, kept: Vec<ComponentHash>) {
        let engine = self.clone();
        let pruning = tokio::task::spawn_blocking(move || engine.cache().prune(&kept)).await;
        if let Ok(Err(error)) = pruning {
            warn!(%error, "the cache of compiled components could not be tidied up");
        }
    }

    fn compile_blocking(&self, bytes: &[u8]) -> Result<Compiled, Refused> {
        let hash = Self::hash(bytes);
        let component = match self.cache().load(self.wasmtime(), hash) {
            Some(component) => component,
            None => self.compile_anew(bytes, hash)?,
        };
        self.check_imports(&component)?;
        self.check_size(&component)?;
        let wrong_world = |error: wasmtime::Error| Refused::WrongWorld(format!("{error:#}"));
        let pre = self
            .linker()
            .instantiate_pre(&component)
            .map_err(wrong_world)?;
        let pre = ActorPre::new(pre).map_err(wrong_world)?;
        Ok(Compiled { pre, hash })
    }

    fn compile_anew(&self, bytes: &[u8], hash: ComponentHash) -> Result<Component, Refused> {
        if !wasmparser::Parser::is_component(bytes) {
            let what = if wasmparser::Parser::is_core_wasm(bytes) {
                "it is a core module; build it for wasm32-wasip2"
            } else {
                "it does not begin as WebAssembly does"
            };
            return Err(Refused::Invalid(what.to_owned()));
        }
        let invalid = |error: wasmtime::Error| Refused::Invalid(format!("{error:#}"));
        let compiled = self
            .wasmtime()
            .precompile_component(bytes)
            .map_err(invalid)?;
        if let Err(error) = self.cache().store(hash, &compiled) {
            warn!(%error, "cannot keep a compiled component; it will be compiled again");
        } else if let Some(component) = self.cache().load(self.wasmtime(), hash) {
            // From the file, so that instances share its pages.
            return Ok(component);
        }
        Component::new(self.wasmtime(), bytes).map_err(invalid)
    }

    fn check_imports(&self, component: &Component) -> Result<(), Refused> {
        let component_type = component.component_type();
        let is_granted = |name: &str| GRANTED.iter().any(|granted| name.starts_with(granted));
        let refused: Vec<&str> = component_type
            .imports(self.wasmtime())
            .map(|(name, _)| name)
            .filter(|name| !is_granted(name))
            .collect();
        if refused.is_empty() {
            Ok(())
        } else {
            Err(Refused::NotGranted(refused.join(", ")))
        }
    }

    fn check_size(&self, component: &Component) -> Result<(), Refused> {
        let Some(needs) = component.resources_required() else {
            return Err(Refused::Invalid(
                "it imports core modules or components".to_owned(),
            ));
        };
        if needs.num_memories > MEMORIES_MAX {
            let text = format!(
                "{} memories; {MEMORIES_MAX} are allowed",
                needs.num_memories
            );
            return Err(Refused::TooLarge(text));
        }
        let most = self.limits().guest_memory_bytes_max as u64;
        let first = first_memory_bytes(&needs);
        if first > most {
            let text = format!("{first} bytes of memory to begin with; {most} are allowed");
            return Err(Refused::TooLarge(text));
        }
        Ok(())
    }
}

/// The largest memory that an instance begins with. Wasmtime counts it in pages.
fn first_memory_bytes(needs: &ResourcesRequired) -> u64 {
    const PAGE_BYTES: u64 = 64 << 10;
    let pages = needs.max_initial_memory_size.unwrap_or_default();
    pages.saturating_mul(PAGE_BYTES)
}
