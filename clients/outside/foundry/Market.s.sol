// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Coin} from "../contracts/Coin.sol";
import {Deed} from "../contracts/Deed.sol";
import {Wares} from "../contracts/Wares.sol";

interface Vm {
    function startBroadcast() external;
    function stopBroadcast() external;
}

/// Opens a market: three tokens, and one transfer of each.
contract Market {
    Vm constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));
    bool public constant IS_SCRIPT = true;

    function run(address buyer) external returns (Coin coin, Deed deed, Wares wares) {
        vm.startBroadcast();
        coin = new Coin("Market", "MKT", 1_000_000);
        deed = new Deed();
        wares = new Wares();
        coin.transfer(buyer, 250);
        deed.claim(1);
        deed.transferFrom(msg.sender, buyer, 1);
        uint256[] memory one = new uint256[](1);
        one[0] = 1;
        wares.stock(one, one);
        wares.safeTransferFrom(msg.sender, buyer, 1, 1, "");
        vm.stopBroadcast();
    }
}
