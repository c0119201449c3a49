// Package frames keeps the slots of a whole fleet in the room of a few images. Units write the same images again and again;
// what they hold is cut into blocks, and a block that many slots hold is stored once.
//
// # What is shared, and what is not
//
// A [Slot] is an install.Device of one unit: what it is given to write it keeps, what it is asked to read it reads, and whoever
// reads it back hashes bytes, not names. Two slots that hold the same block share its bytes in the store and nothing else; a
// write to one makes another block.
//
// A block is looked for where another slot, which held the same before, has written last, and else by a hash. Either way it is believed
// only after a comparison of all bytes, so that no unit can come to hold what it has not written.
//
// A [View] lends the bytes of the store itself, where a copy of each block for each unit is most of what reading costs.
//
// # Power
//
// What was written since the last Sync is lost when the power is cut ([Slot.Cut]), as on a medium with a cache: the slot is
// then what it was at the last Sync. It is the unit's power, not that of the machine below: nothing here is flushed, so that a
// store survives the end of this process and not that of the machine.
//
// # On disk
//
//	<store>/blocks          blocks of 64 KiB one behind the other; block n, counted from 1, at (n-1)*65536. Only appended to
//	<unit>/slot-a.img.map   the slot: "FLSLOT1\n", then the number of each block, little endian, 32 bits; 0 for zeros
//
// A block that no slot holds any more is not removed: a store grows with what was ever written, not with the fleet.
package frames
