// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// What an EIP-7702 account delegates to: several calls in one transaction, for its owner only.
contract Purse {
    struct Call {
        address to;
        bytes data;
    }

    error NotOwner();

    function run(Call[] calldata calls) external {
        require(msg.sender == address(this), NotOwner());
        for (uint256 i = 0; i < calls.length; i++) {
            (bool ok, bytes memory why) = calls[i].to.call(calls[i].data);
            if (!ok) {
                assembly {
                    revert(add(why, 32), mload(why))
                }
            }
        }
    }
}
