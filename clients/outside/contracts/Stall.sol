// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// Refuses in each of the ways a contract can, and keeps one number.
contract Stall {
    error Closed(address caller, uint256 until);

    event Kept(address indexed by, uint256 number);

    uint256 public number;

    function keep(uint256 value) external {
        number = value;
        emit Kept(msg.sender, value);
    }

    function refuseWithReason(string calldata reason) external pure {
        require(false, reason);
    }

    function refuseWithError(uint256 until) external view {
        revert Closed(msg.sender, until);
    }

    function divide(uint256 a, uint256 b) external pure returns (uint256) {
        return a / b;
    }
}
