//! Where a single request runs: its state, its block, its machine.

use alloy_evm::{
    Evm, EvmEnv,
    eth::{EthEvm, EthEvmBuilder, EthEvmContext},
    precompiles::PrecompilesMap,
};
use alloy_primitives::{Address, TxKind, U256};
use alloy_rpc_types_eth::TransactionRequest;
use revm::{
    Database, Inspector,
    context::{
        TxEnv,
        result::{EVMError, ResultAndState},
    },
    context_interface::{block::BlobExcessGasAndPrice, either::Either},
    precompile::{PrecompileSpecId, Precompiles},
};

use super::{CallError, INTERRUPTED, Interrupt, Limits, Overrides, Setting, overrides};
use crate::{InvalidReason, InvalidTransaction, Rules, StateError, WorkingState, transaction::make_free};

/// A request's world. Each run starts from the same state.
pub(crate) struct Environment<'a, I> {
    pub(crate) rules: &'a Rules,
    pub(crate) evm: EthEvm<WorkingState<'a>, I, PrecompilesMap>,
}

impl<'a, I: Inspector<EthEvmContext<WorkingState<'a>>>> Environment<'a, I> {
    /// The inspector sleeps until it is enabled.
    pub(crate) fn new(setting: &Setting<'a>, wanted: Overrides, inspector: I) -> Result<Environment<'a, I>, CallError> {
        let state = WorkingState::new(setting.view, setting.block_hashes);
        Environment::on(setting, state, wanted, inspector)
    }

    /// On a state in which other transactions ran before.
    pub(crate) fn on(
        setting: &Setting<'a>,
        mut state: WorkingState<'a>,
        wanted: Overrides,
        inspector: I,
    ) -> Result<Environment<'a, I>, CallError> {
        let mut context = setting.context.clone();
        let block = wanted.block.unwrap_or_default();
        overrides::apply_block(&block, setting.rules, &mut context)?;
        let mut evm_env = setting.rules.evm_env(&context);
        relax(&mut evm_env);
        if let Some(fee) = block.blob_base_fee {
            let excess_blob_gas = context.excess_blob_gas.unwrap_or(0);
            let price = BlobExcessGasAndPrice { excess_blob_gas, blob_gasprice: fee.saturating_to() };
            evm_env.block_env.blob_excess_gas_and_price = Some(price);
        }
        state.override_hashes(block.block_hash.unwrap_or_default());
        let mut precompiles = precompiles(&evm_env);
        if let Some(wanted) = wanted.state {
            overrides::apply_state(wanted, &mut state, &mut precompiles, context.spec)?;
        }
        let evm = EthEvmBuilder::new(state, evm_env).precompiles(precompiles).inspector(inspector).build();
        Ok(Environment { rules: setting.rules, evm })
    }

    /// The request as a transaction, with geth's defaults.
    pub(crate) fn transaction(&mut self, request: &TransactionRequest, gas_max: u64) -> Result<TxEnv, CallError> {
        let mut env = request_env(self.rules, request)?;
        env.gas_limit = request.gas.unwrap_or(gas_max).min(gas_max);
        env.nonce = match request.nonce {
            Some(nonce) => nonce,
            None => self.evm.db_mut().basic(env.caller)?.map_or(0, |account| account.nonce),
        };
        self.price(&mut env);
        Ok(env)
    }

    /// A call that pays nothing sees a base fee of 0, so that no contract finds a price below the base fee.
    fn price(&mut self, env: &mut TxEnv) {
        if self.rules.is_free() {
            make_free(env);
        }
        let block = &mut self.evm.ctx_mut().block;
        if env.gas_price == 0 {
            block.basefee = 0;
        }
        let blobs = !env.blob_hashes.is_empty() && env.max_fee_per_blob_gas == 0;
        if let Some(blob) = block.blob_excess_gas_and_price.as_mut().filter(|_| blobs) {
            blob.blob_gasprice = 0;
        }
    }

    /// Runs a transaction and keeps nothing of it.
    pub(crate) fn run(&mut self, env: TxEnv) -> Result<ResultAndState, CallError> {
        self.evm.transact_raw(env).map_err(|error| call_error(error, self.evm.ctx()))
    }
}

impl<'a> Environment<'a, Interrupt<'a>> {
    /// Watches the interrupt, when there is one, and nothing else.
    pub(crate) fn plain(
        setting: &Setting<'a>,
        wanted: Overrides,
        limits: Limits<'a>,
    ) -> Result<Environment<'a, Interrupt<'a>>, CallError> {
        let mut environment = Environment::new(setting, wanted, Interrupt::new(limits.interrupt))?;
        environment.evm.set_inspector_enabled(limits.interrupt.is_some());
        Ok(environment)
    }
}

/// What a run is not asked that a transaction in a block is.
pub(super) fn relax(evm_env: &mut EvmEnv) {
    let cfg = &mut evm_env.cfg_env;
    cfg.disable_nonce_check = true;
    cfg.disable_eip3607 = true;
    cfg.disable_block_gas_limit = true;
    cfg.tx_gas_limit_cap = Some(u64::MAX);
}

pub(super) fn precompiles(evm_env: &EvmEnv) -> PrecompilesMap {
    let spec = PrecompileSpecId::from_spec_id(evm_env.cfg_env.spec);
    PrecompilesMap::from_static(Precompiles::new(spec))
}

pub(crate) fn call_error<DB: Database>(error: EVMError<StateError>, context: &EthEvmContext<DB>) -> CallError {
    match error {
        EVMError::Transaction(why) => {
            CallError::Invalid(InvalidTransaction::from_evm(why, &context.tx, &context.block, &context.cfg))
        }
        EVMError::Database(error) => error.into(),
        EVMError::Custom(text) if text == INTERRUPTED => CallError::Interrupted,
        other => {
            let why = InvalidReason::Machine(other.to_string());
            CallError::Execution(why.at(context.block.number.saturating_to()).into())
        }
    }
}

/// The request's own fields, before gas, nonce and what the chain decides.
pub(super) fn request_env(rules: &Rules, request: &TransactionRequest) -> Result<TxEnv, CallError> {
    let input = request.input.unique_input().map_err(|_| {
        CallError::Request(
            "both \"data\" and \"input\" are set and not equal. Please use \"input\" to pass transaction call data"
                .into(),
        )
    })?;
    if let Some(have) = request.chain_id.filter(|have| *have != rules.chain_id()) {
        let want = rules.chain_id();
        return Err(CallError::Request(format!("chainId does not match node's (have={have}, want={want})")));
    }
    let (gas_price, gas_priority_fee) = prices(request)?;
    Ok(TxEnv {
        tx_type: transaction_type(request),
        caller: request.from.unwrap_or(Address::ZERO),
        gas_limit: 0,
        gas_price,
        kind: request.to.unwrap_or(TxKind::Create),
        value: request.value.unwrap_or(U256::ZERO),
        data: input.cloned().unwrap_or_default(),
        nonce: 0,
        chain_id: Some(rules.chain_id()),
        access_list: request.access_list.clone().unwrap_or_default(),
        gas_priority_fee,
        blob_hashes: request.blob_versioned_hashes.clone().unwrap_or_default(),
        max_fee_per_blob_gas: request.max_fee_per_blob_gas.unwrap_or(0),
        authorization_list: request.authorization_list.iter().flatten().cloned().map(Either::Left).collect(),
    })
}

/// The fee cap and the tip.
fn prices(request: &TransactionRequest) -> Result<(u128, Option<u128>), CallError> {
    let dynamic = request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some();
    match request.gas_price {
        Some(_) if dynamic => {
            Err(CallError::Request("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified".into()))
        }
        Some(price) => Ok((price, None)),
        None => {
            let tip = request.max_priority_fee_per_gas.unwrap_or(0);
            Ok((request.max_fee_per_gas.unwrap_or(0), dynamic.then_some(tip)))
        }
    }
}

fn transaction_type(request: &TransactionRequest) -> u8 {
    if request.authorization_list.is_some() {
        4
    } else if request.blob_versioned_hashes.is_some() {
        3
    } else if request.max_fee_per_gas.is_some() || request.max_priority_fee_per_gas.is_some() {
        2
    } else if request.access_list.is_some() {
        1
    } else {
        0
    }
}
