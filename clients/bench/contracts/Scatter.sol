// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.0;

/// Creating it pays `amount` to each account: many senders funded by one transaction.
contract Scatter {
    constructor(address payable[] memory accounts, uint256 amount) payable {
        for (uint256 i = 0; i < accounts.length; i++) {
            (bool paid, ) = accounts[i].call{value: amount}("");
            require(paid, "an account refused its funds");
        }
    }
}
