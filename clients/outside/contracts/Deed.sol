// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";

/// An ERC-721 that anyone may claim a token of.
contract Deed is ERC721 {
    constructor() ERC721("Deed", "DEED") {}

    function claim(uint256 id) external {
        _safeMint(msg.sender, id);
    }
}
