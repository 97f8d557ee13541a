//! Which actor a gateway query means. Source: protocol, section 6.2.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use greenroom_model::{ActorError, ActorKey, ActorName, ActorType, Namespace, Target, codes};

use crate::encoding;

/// The `rvt-` parameters of a query, checked one by one but not together.
#[derive(Debug, Default)]
pub(crate) struct Query {
    namespace: Option<String>,
    method: Option<Method>,
    pool: Option<String>,
    key: Option<String>,
    input: Option<Bytes>,
    region: Option<String>,
    crash_policy: Option<String>,
    token: Option<String>,
    skip_ready_wait: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Get,
    GetOrCreate,
}

impl Query {
    /// Takes the `rvt-` parameters out of a query; `None` if it has none.
    ///
    /// # Errors
    ///
    /// `guard.query_invalid_params`, `guard.query_duplicate_param`.
    pub(crate) fn parse(query: &str) -> Result<Option<Self>, ActorError> {
        if !query.contains("rvt-") {
            return Ok(None);
        }
        let mut parsed = Self::default();
        let mut is_query = false;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if let Some(name) = name.strip_prefix("rvt-") {
                is_query = true;
                parsed.take(name, &value)?;
            }
        }
        Ok(is_query.then_some(parsed))
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), ActorError> {
        let is_duplicate = match name {
            "namespace" => self.namespace.replace(value.to_owned()).is_some(),
            "runner" | "pool" => self.pool.replace(value.to_owned()).is_some(),
            "key" => self.key.replace(value.to_owned()).is_some(),
            "region" => self.region.replace(value.to_owned()).is_some(),
            "token" => self.token.replace(value.to_owned()).is_some(),
            "method" => self.method.replace(method(value)?).is_some(),
            "input" => self.input.replace(input(value)?).is_some(),
            "crash-policy" => {
                if !matches!(value, "sleep" | "restart" | "destroy") {
                    return Err(invalid("rvt-crash-policy", "sleep, restart or destroy"));
                }
                self.crash_policy.replace(value.to_owned()).is_some()
            }
            "skip-ready-wait" => match value {
                "true" | "1" => self.skip_ready_wait.replace(true).is_some(),
                "false" | "0" => self.skip_ready_wait.replace(false).is_some(),
                _ => return Err(invalid("rvt-skip-ready-wait", "true, 1, false or 0")),
            },
            unknown => {
                let name: String = unknown.chars().take(40).collect();
                let text =
                    format!("there is no query parameter rvt-{name}; the prefix rvt- is reserved");
                return Err(ActorError::new(codes::QUERY_INVALID_PARAMS, text));
            }
        };
        if is_duplicate {
            let text = format!("the query parameter rvt-{name} is given twice");
            return Err(ActorError::new(codes::QUERY_DUPLICATE_PARAM, text));
        }
        Ok(())
    }

    /// The namespace it names.
    pub(crate) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }

    /// The actor that is meant, of the type that stands in the path.
    ///
    /// # Errors
    ///
    /// `guard.query_*`, `actor.invalid_name`, `actor.invalid_key`.
    pub(crate) fn into_target(
        self,
        namespace: Namespace,
        actor_type: &str,
    ) -> Result<Target, ActorError> {
        let Some(method) = self.method else {
            return Err(invalid("rvt-method", "get or getOrCreate"));
        };
        let name = ActorName {
            namespace,
            actor_type: ActorType::new(actor_type)
                .map_err(|error| ActorError::new(codes::INVALID_NAME, error.to_string()))?,
            key: ActorKey::from_joined(self.key.as_deref())
                .map_err(|error| ActorError::new(codes::INVALID_KEY, error.to_string()))?,
        };
        match method {
            Method::Get => {
                let creates = self.input.is_some()
                    || self.region.is_some()
                    || self.crash_policy.is_some()
                    || self.pool.is_some();
                if creates {
                    let text = "rvt-input, rvt-region, rvt-crash-policy and rvt-runner are for \
                                rvt-method=getOrCreate";
                    return Err(ActorError::new(codes::QUERY_GET_DISALLOWED_PARAMS, text));
                }
                Ok(Target::Get(name))
            }
            Method::GetOrCreate if self.pool.is_none() => {
                let text =
                    "rvt-method=getOrCreate needs rvt-runner, for example rvt-runner=default";
                Err(ActorError::new(codes::QUERY_MISSING_POOL, text))
            }
            Method::GetOrCreate => Ok(Target::GetOrCreate {
                name,
                input: self.input,
            }),
        }
    }
}

fn method(value: &str) -> Result<Method, ActorError> {
    match value {
        "get" => Ok(Method::Get),
        "getOrCreate" => Ok(Method::GetOrCreate),
        _ => Err(invalid("rvt-method", "get or getOrCreate")),
    }
}

fn input(value: &str) -> Result<Bytes, ActorError> {
    let bytes = URL_SAFE_NO_PAD.decode(value.trim_end_matches('=')).ok();
    bytes
        .and_then(|bytes| encoding::from_client_cbor(&bytes, true).ok())
        .ok_or_else(|| invalid("rvt-input", "one CBOR value in base64url"))
}

fn invalid(name: &str, wanted: &str) -> ActorError {
    ActorError::new(
        codes::QUERY_INVALID_PARAMS,
        format!("{name} has to be {wanted}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(query: &str) -> Result<Target, String> {
        let code = |error: ActorError| error.code.into_owned();
        let query = Query::parse(query).map_err(code)?.ok_or("by id")?;
        query
            .into_target(Namespace::new("default").unwrap(), "counter")
            .map_err(code)
    }

    #[test]
    fn the_stock_clients_query_is_understood() {
        let query = "x=1&rvt-namespace=default&rvt-method=getOrCreate&rvt-runner=default\
                     &rvt-key=org-acme%2Cdoc%2F1&rvt-input=AA&rvt-crash-policy=sleep";
        let Ok(Target::GetOrCreate { name, input }) = target(query) else {
            panic!("a target")
        };
        assert_eq!(name.key.parts(), ["org-acme", "doc/1"]);
        assert_eq!(input.as_deref(), Some(&[0][..]), "the number 0");
        let Ok(Target::Get(name)) = target("rvt-method=get&rvt-namespace=default") else {
            panic!("a target");
        };
        assert!(name.key.parts().is_empty());
    }

    #[test]
    fn each_fault_has_its_code() {
        for (query, code) in [
            ("rvt-method=get&rvt-nothing=1", "query_invalid_params"),
            ("rvt-method=put", "query_invalid_params"),
            ("rvt-key=a", "query_invalid_params"),
            (
                "rvt-method=getOrCreate&rvt-runner=d&rvt-input=%21",
                "query_invalid_params",
            ),
            (
                "rvt-method=getOrCreate&rvt-runner=d&rvt-crash-policy=x",
                "query_invalid_params",
            ),
            ("rvt-method=get&rvt-method=get", "query_duplicate_param"),
            (
                "rvt-method=getOrCreate&rvt-runner=d&rvt-pool=d",
                "query_duplicate_param",
            ),
            ("rvt-method=get&rvt-runner=d", "query_get_disallowed_params"),
            ("rvt-method=getOrCreate", "query_missing_pool"),
            ("a=rvt-x", "by id"),
        ] {
            assert_eq!(target(query).unwrap_err(), code, "{query}");
        }
    }
}
