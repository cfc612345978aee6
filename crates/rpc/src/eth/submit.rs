//! Transactions coming in: raw, awaited (EIP-7966), filled, and signed with a development key.

use super::accounts::nonce_at;
use super::{execute, fees, transactions};
use crate::error::Failure;
use crate::lane::Class;
use crate::params::Arguments;
use crate::registry::{Answer, Call, Registry, encode};
use crate::render::RpcReceipt;
use crate::served::Served;
use alloy_consensus::{EthereumTypedTransaction, SignableTransaction, TxEip4844, TypedTransaction};
use alloy_eips::BlockId;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, U256};
use alloy_rpc_types_eth::{FillTransaction, TransactionRequest};
use chain::{Origin, Rejected};
use jsonrpsee::types::ErrorObjectOwned;
use std::sync::Arc;
use std::time::Duration;
use types::Transaction;

/// The one method whose calls in a batch are submitted together.
pub(crate) const SEND_RAW: &str = "eth_sendRawTransaction";

/// Before another attempt to read a receipt in a full lane.
const LOOK_UP_AGAIN: Duration = Duration::from_millis(10);

pub(super) fn register(methods: &mut Registry) {
    methods.on(Class::Submit, SEND_RAW, send_raw);
    methods.on(Class::Execute, "eth_fillTransaction", fill_transaction);
    methods.on(Class::Execute, "eth_sendTransaction", send_transaction);
    methods.asynchronous("eth_sendRawTransactionSync", |params, ledger| async move {
        let waited = Awaited::parse(params.as_str(), &ledger);
        let outcome = match waited {
            Ok(awaited) => awaited.run(&ledger).await,
            Err(failure) => Err(failure),
        };
        answer(&ledger, outcome)
    });
}

fn answer(ledger: &Served, outcome: Result<RpcReceipt, Failure>) -> Answer {
    let encoded = outcome.and_then(|receipt| encode(&receipt, ledger.limits.response_bytes as usize));
    encoded.map_err(ErrorObjectOwned::from)
}

fn send_raw(call: &mut Call<'_>) -> Result<B256, Failure> {
    let raw = raw_argument(call.ledger, &mut call.arguments)?;
    call.arguments.end()?;
    Ok(call.ledger.chain.submit(raw)?)
}

fn raw_argument(ledger: &Served, arguments: &mut Arguments<'_>) -> Result<Bytes, Failure> {
    match ledger.read_only {
        true => Err(Failure::execution("this node is read-only and accepts no transactions")),
        false => arguments.hex::<Bytes>(),
    }
}

/// Submits the raw transactions of a batch together: one recovery pass, one insertion. One answer each, in order.
pub(crate) async fn submit_many(ledger: &Arc<Served>, params: Vec<String>) -> Vec<Result<B256, Failure>> {
    let count = params.len();
    let working = Arc::clone(ledger);
    let work = move |_| Ok(submit_all(&working, &params));
    match ledger.lanes.of(Class::Submit).run(work).await {
        Ok(answers) => answers,
        Err(failure) => vec![Err(failure); count],
    }
}

fn submit_all(ledger: &Served, params: &[String]) -> Vec<Result<B256, Failure>> {
    let decode = |params: &String| {
        let mut arguments = Arguments::parse(Some(params))?;
        let raw = raw_argument(ledger, &mut arguments)?;
        arguments.end().map(|()| raw)
    };
    let decoded: Vec<Result<Bytes, Failure>> = params.iter().map(decode).collect();
    let raw = decoded.iter().filter_map(|raw| raw.as_ref().ok()).cloned().collect();
    let mut admitted = ledger.chain.submit_batch(raw, Origin::Local).into_iter();
    let mut next = || admitted.next().unwrap_or(Err(Rejected::PoolFull));
    decoded.into_iter().map(|raw| raw.and_then(|_| next().map_err(Failure::from))).collect()
}

/// A call of `eth_sendRawTransactionSync`.
struct Awaited {
    raw: Bytes,
    timeout: Duration,
}

impl Awaited {
    fn parse(params: Option<&str>, ledger: &Served) -> Result<Awaited, Failure> {
        let mut arguments = Arguments::parse(params)?;
        let raw = raw_argument(ledger, &mut arguments)?;
        let asked = arguments.optional::<U256>()?;
        arguments.end()?;
        let limits = &ledger.limits;
        let milliseconds = |asked: U256| Duration::from_millis(asked.saturating_to());
        let timeout = asked.filter(|asked| !asked.is_zero()).map_or(limits.sync_timeout, milliseconds);
        Ok(Awaited { raw, timeout: timeout.min(limits.sync_timeout_max) })
    }

    /// Watches the heights from before the submission, so that no block can come between.
    async fn run(self, ledger: &Arc<Served>) -> Result<RpcReceipt, Failure> {
        let _place = ledger
            .sync_waits
            .try_acquire()
            .map_err(|_| Failure::limit("too many transactions are being awaited; use eth_sendRawTransaction"))?;
        let mut heights = ledger.chain.heights();
        let (raw, submitting) = (self.raw, Arc::clone(ledger));
        let submit = move |_| Ok(submitting.chain.submit(raw)?);
        let hash = ledger.lanes.of(Class::Submit).run(submit).await?;
        let found = async {
            loop {
                heights.borrow_and_update();
                // A transaction leaves the pool before its height is announced: while it is there it is not final.
                if ledger.chain.pooled(&hash).is_none()
                    && let Some(receipt) = look_up(ledger, hash).await?
                {
                    return Ok(receipt);
                }
                if heights.changed().await.is_err() {
                    return Err(Failure::execution("the node is stopping"));
                }
            }
        };
        match tokio::time::timeout(self.timeout, found).await {
            Ok(outcome) => outcome,
            Err(_) => Err(not_in_time(ledger, hash, self.timeout)),
        }
    }
}

/// A full lane only delays the answer: the caller has submitted and must learn what became of it.
async fn look_up(ledger: &Arc<Served>, hash: B256) -> Result<Option<RpcReceipt>, Failure> {
    loop {
        let reading = Arc::clone(ledger);
        match ledger.lanes.of(Class::Read).run(move |_| transactions::receipt_of(&reading, hash)).await {
            Err(Failure::Limit(_)) => tokio::time::sleep(LOOK_UP_AGAIN).await,
            found => return found,
        }
    }
}

/// A transaction behind a nonce gap was never ready; any other is only late.
fn not_in_time(ledger: &Served, hash: B256, timeout: Duration) -> Failure {
    let waiting = ledger.chain.pooled(&hash);
    let next = |sender| ledger.chain.pooled_nonce(sender).unwrap_or(0);
    match waiting {
        Some(entry) if entry.nonce() >= next(&entry.sender()) => Failure::Unready { hash },
        _ => Failure::Timeout { hash, milliseconds: timeout.as_millis() },
    }
}

/// What `eth_fillTransaction` answers: the unsigned transaction in full.
type Filled = FillTransaction<Transaction>;

fn fill_transaction(call: &mut Call<'_>) -> Result<Filled, Failure> {
    let request = call.arguments.required::<TransactionRequest>()?;
    call.arguments.end()?;
    let unsigned = fill(call, request)?;
    let tx = sign_with(unsigned, |_| Signature::new(U256::ZERO, U256::ZERO, false));
    Ok(FillTransaction { raw: tx.encoded_2718().into(), tx })
}

fn send_transaction(call: &mut Call<'_>) -> Result<B256, Failure> {
    let request = call.arguments.required::<TransactionRequest>()?;
    call.arguments.end()?;
    if call.ledger.read_only {
        return Err(Failure::execution("this node is read-only and accepts no transactions"));
    }
    let from = request.from.ok_or_else(|| Failure::execution("unknown account"))?;
    let signers = &call.ledger.signers;
    let key = signers.iter().find(|key| key.address() == from).ok_or_else(|| Failure::execution("unknown account"))?;
    let _turn = call.ledger.signing.lock();
    let unsigned = fill(call, request)?;
    let signed = sign_with(unsigned, |hash| key.sign(hash));
    Ok(call.ledger.chain.submit(signed.encoded_2718().into())?)
}

/// Completes a request: chain, nonce, fees, gas.
fn fill(call: &Call<'_>, mut request: TransactionRequest) -> Result<TypedTransaction, Failure> {
    let chain_id = call.ledger.chain.rules().chain_id();
    if let Some(asked) = request.chain_id.replace(chain_id)
        && asked != chain_id
    {
        return Err(Failure::execution(format!("chainId does not match node's (have={asked}, want={chain_id})")));
    }
    if request.has_eip4844_fields() {
        return Err(Failure::execution("blob transactions are not supported"));
    }
    let from = *request.from.get_or_insert(Address::ZERO);
    request.to.get_or_insert(alloy_primitives::TxKind::Create);
    request.value.get_or_insert_default();
    if request.nonce.is_none() {
        request.nonce = Some(nonce_at(call, from, BlockId::pending())?);
    }
    fill_fees(call.ledger, &mut request)?;
    if request.gas.is_none() {
        request.gas = Some(execute::estimate(call, request.clone())?);
    }
    request.build_typed_tx().map_err(|_| Failure::execution("the request does not make a transaction of any type"))
}

/// Legacy and access-list requests that name a gas price keep it; all others get both caps of EIP-1559.
fn fill_fees(ledger: &Served, request: &mut TransactionRequest) -> Result<(), Failure> {
    let base_fee = fees::next_base_fee(ledger)?;
    let dynamic = request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some();
    if request.gas_price.is_some() {
        return match dynamic {
            true => Err(Failure::execution("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")),
            false => Ok(()),
        };
    }
    let tip = fees::suggested_tip(ledger)?;
    let Some(base_fee) = base_fee.filter(|_| !matches!(request.transaction_type, Some(0 | 1))) else {
        request.gas_price = Some(u128::from(base_fee.unwrap_or(0)) + tip);
        return Ok(());
    };
    let tip = match (request.max_priority_fee_per_gas, request.max_fee_per_gas) {
        (Some(tip), _) => tip,
        (None, Some(cap)) => tip.min(cap),
        (None, None) => tip,
    };
    let cap = request.max_fee_per_gas.unwrap_or(2 * u128::from(base_fee) + tip);
    if cap < tip {
        return Err(Failure::execution(format!("maxFeePerGas ({cap}) < maxPriorityFeePerGas ({tip})")));
    }
    (request.max_priority_fee_per_gas, request.max_fee_per_gas) = (Some(tip), Some(cap));
    Ok(())
}

fn sign_with(unsigned: TypedTransaction, sign: impl Fn(&B256) -> Signature) -> Transaction {
    let unsigned: EthereumTypedTransaction<TxEip4844> = unsigned.map_eip4844(TxEip4844::from);
    let signature = sign(&unsigned.signature_hash());
    unsigned.into_signed(signature).into()
}
