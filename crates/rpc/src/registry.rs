//! How a method comes into being: a name, a class, and a plain function from a call to a value.
//!
//! D3.1 6.3.1. Invariant: a method's parameters are decoded, its work done and its result encoded in its lane, so that
//! neither a batch nor a subscription nor any other way in can pass the lane by.

use crate::error::Failure;
use crate::lane::{Class, Deadline};
use crate::params::Arguments;
use crate::served::Served;
use jsonrpsee::RpcModule;
use jsonrpsee::types::{ErrorObjectOwned, Params};
use serde::Serialize;
use serde_json::value::RawValue;
use std::io;
use std::sync::Arc;

/// One call of one method.
pub(crate) struct Call<'a> {
    pub(crate) ledger: &'a Arc<Served>,
    pub(crate) arguments: Arguments<'a>,
    pub(crate) deadline: Deadline,
}

/// The methods of one ledger.
pub(crate) struct Registry {
    module: RpcModule<Served>,
}

/// What every method answers with.
pub(crate) type Answer = Result<Box<RawValue>, ErrorObjectOwned>;

impl Registry {
    pub(crate) fn new(ledger: Arc<Served>) -> Registry {
        Registry { module: RpcModule::from_arc(ledger) }
    }

    /// A method that only looks at what is in memory, too cheap for a lane.
    pub(crate) fn inline<R: Serialize + 'static>(
        &mut self,
        name: &'static str,
        method: fn(&mut Call<'_>) -> Result<R, Failure>,
    ) {
        self.asynchronous(name, move |params, ledger| async move {
            let deadline = Deadline::after(ledger.limits.read.deadline);
            answer(&ledger, &params, deadline, method).map_err(ErrorObjectOwned::from)
        });
    }

    /// A method that computes in the lane of its class.
    pub(crate) fn on<R: Serialize + 'static>(
        &mut self,
        class: Class,
        name: &'static str,
        method: fn(&mut Call<'_>) -> Result<R, Failure>,
    ) {
        self.asynchronous(name, move |params, ledger| async move {
            let working = Arc::clone(&ledger);
            let work = move |deadline| answer(&working, &params, deadline, method);
            ledger.lanes.of(class).run(work).await.map_err(ErrorObjectOwned::from)
        });
    }

    /// A method that waits for something.
    pub(crate) fn asynchronous<F, Fut>(&mut self, name: &'static str, method: F)
    where
        F: Fn(Params<'static>, Arc<Served>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Answer> + Send,
    {
        let registered = self.module.register_async_method(name, move |params, ledger, _| method(params, ledger));
        registered.expect("every method is registered once");
    }

    /// For what needs the library's own interface.
    pub(crate) fn module(&mut self) -> &mut RpcModule<Served> {
        &mut self.module
    }

    /// Every name that is registered.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.module.method_names().collect()
    }

    pub(crate) fn finish(self) -> jsonrpsee::Methods {
        self.module.into()
    }
}

fn answer<R: Serialize>(
    ledger: &Arc<Served>,
    params: &Params<'static>,
    deadline: Deadline,
    method: fn(&mut Call<'_>) -> Result<R, Failure>,
) -> Result<Box<RawValue>, Failure> {
    let arguments = Arguments::parse(params.as_str())?;
    let result = method(&mut Call { ledger, arguments, deadline })?;
    encode(&result, ledger.limits.response_bytes as usize)
}

/// The JSON of a result, unless it is longer than a response may be.
pub(crate) fn encode<R: Serialize>(result: &R, most: usize) -> Result<Box<RawValue>, Failure> {
    let mut sink = Bounded { bytes: Vec::with_capacity(256), most };
    if let Err(why) = serde_json::to_writer(&mut sink, result) {
        let too_long = || Failure::limit(format!("response too large: more than {most} bytes"));
        return Err(if why.is_io() { too_long() } else { Failure::internal(&why) });
    }
    let text = String::from_utf8(sink.bytes).map_err(|why| Failure::internal(&why))?;
    RawValue::from_string(text).map_err(|why| Failure::internal(&why))
}

/// A buffer that refuses to grow beyond `most` bytes.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + part.len() > self.most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_bounded() {
        assert_eq!(encode(&"abc", 5).unwrap().get(), "\"abc\"");
        assert_eq!(encode(&"abcd", 5).unwrap_err().code(), -32005);
    }
}
