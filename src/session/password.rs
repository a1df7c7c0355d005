//! Session passwords (reference: `ZooKeeperServer.generatePasswd`). Any server of an ensemble must be
//! able to check what another gave out, so the derivation is fixed.

use jute::SessionId;

/// Bytes in a password.
pub const PASSWORD_LENGTH: usize = 16;

const SUPER_SECRET: u64 = 0xB3_41_5C_00;
const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const MASK: u64 = (1 << 48) - 1;

/// The password of a session: 16 bytes of `java.util.Random` seeded from its id.
#[must_use]
pub fn password_for(id: SessionId) -> [u8; PASSWORD_LENGTH] {
    let mut state = (id.0.cast_unsigned() ^ SUPER_SECRET ^ MULTIPLIER) & MASK;
    let mut password = [0; PASSWORD_LENGTH];
    for word in password.chunks_exact_mut(4) {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
        word.copy_from_slice(&((state >> 16) as u32).to_le_bytes());
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_those_java_derives() {
        // What `new java.util.Random(id ^ 0xB3415C00L).nextBytes` gives for this id.
        let expected =
            [0x6E, 0xD4, 0x7E, 0x88, 0x63, 0x78, 0xD8, 0x16, 0xFC, 0xFF, 0x98, 0xB3, 0xE4, 0xAE, 0x13, 0x08];
        assert_eq!(password_for(SessionId(0x0100_0000_1234_0000)), expected);
    }
}
