// Package access is who may do what: permissions, roles, the rules that decide, and the
// secrets that prove who asks. It holds no database, no clock and no connection.
//
// # Who asks
//
// A [Principal] is what a token stands for: a role, its permissions, a scope, an end. The
// scope is one tenant, or [Service]: the service itself with all of its tenants. A program
// or a person has a token each; devices have certificates or access keys and are no
// principals.
//
// # What is allowed
//
// [Allow] answers for one permission in one scope. Whoever serves a request asks it before
// looking anything up by a tenant's name, and with the tenant of what was found where the
// name is that of a device or rollout. There are three ways to be refused:
//
//	ErrExpired    the token's time is over: 401
//	ErrNotFound   the scope is not the caller's business: 404, in the same words as for a
//	              tenant that does not exist, so that nobody learns which ones do
//	ErrForbidden  the caller may be there, and may not do this: 403, with the permission's name
//
// # Roles
//
//	                 viewer  auditor  release  operator  admin
//	tenant.read        x        x        x        x        x
//	device.read        x        x        x        x        x
//	release.read       x        x        x        x        x
//	rollout.read       x        x        x        x        x
//	report.read        x        x        x        x        x
//	enroll.read                 x                 x        x
//	token.read                  x                          x
//	audit.read                  x                          x
//	service.read                x                          x    service tokens only
//	rollout.write                        x                 x
//	rollout.stop                         x        x        x
//	rollout.approve                               x        x
//	device.write                                  x        x
//	device.revoke                                 x        x
//	group.write                                   x        x
//	enroll.write                                  x        x
//	direct.write                                  x        x
//	tenant.write                                           x    never by a grant
//	device.purge                                           x
//	settings.write                                         x
//	token.write                                            x    never by a grant
//	role.write                                             x    never by a grant
//	grant.write                                            x    never by a grant
//	tenant.create                                          x    service tokens only
//	tenant.purge                                           x    service tokens only
//	service.write                                          x    service tokens only
//	service.backup                                         x    service tokens only
//
// Who plans rollouts does not approve them, and who approves them does not plan them: where
// a plan wants approvals, a release engineer and an operator have to agree. Publishing a
// release is not in the list: signatures decide it, not tokens.
//
// A tenant's admin has the permissions for service tokens by name and cannot use them. Custom
// roles have any permissions that their maker has; their names are other than those above.
//
// # Nobody gives more than they have
//
// Whoever makes a token, a role or a grant must hold each permission in it, in its scope,
// and a token or grant ends no later than the token that made it. Whoever takes something
// away from a token, or the token itself, must hold what it holds; only their own token
// everybody may give back. The last admin of a scope stays: see [CanRevoke].
//
// # Grants
//
// By a [Grant] a tenant lets another organisation in, with a role. A token of that
// organisation then has there what both the grant and the token give. It ends when it is
// ended, or by itself; from then on the tenant does not exist for the other side. What would
// outlive it is never granted: tokens, roles, further grants, the tenant's own keys.
//
// # Tokens
//
//	flt_ id _ secret checksum       of a principal
//	fld_ uuid _ secret checksum     access key of a device
//
// Letters and digits are Crockford's base 32 in lower case, so that a double click takes all
// of it and nothing looks like something else. id: 48 random bits, 10 characters, no secret;
// it names the token in lists and in the audit log. secret: 256 random bits, 52 characters.
// checksum: CRC-32 (IEEE) of everything before it, 7 characters; it tells a slip of the hand
// from a token that is not known, without a database, and lets a scanner for leaked secrets
// be sure. What such a scanner has to look for:
//
//	flt_[0-9a-hjkmnp-tv-z]{10}_[0-9a-hjkmnp-tv-z]{59}
//	fld_[0-9a-f-]{36}_[0-9a-hjkmnp-tv-z]{59}
//
// Only SHA-256 of the whole text is kept. Stretching and salt protect what people make up:
// they make each guess dear, and keep equal passwords from showing. Nobody guesses 256
// random bits at any price, and no two tokens are equal; a slow hash would only make it
// cheap to keep the service busy.
//
// # Claim codes
//
// A code is for people to read out and type: eight symbols and a check symbol, "7K3M-9QXA-T",
// for one device and one day. Case, hyphens and spaces do not matter, O is 0, I and L are 1.
// The check symbol finds every single wrong symbol and every two neighbours swapped.
//
// 40 bits can be guessed by whoever may try often enough, so the number of tries is what
// protects them. With at most [MaxCodes] codes alive at a time and [CodeTries] failed tries
// a minute for the whole service, day and night:
//
//	20/min * 1440 min * 1000 codes / 2^40 = 2.6e-5 a day, about 1 % in a year without a pause
//
// that one of them is hit, which lets one device in, which shows in the list and in the audit
// log. A limit per source address alone would not do: addresses are cheap. Codes with a wrong
// check symbol are refused unseen and count for the source only ([CodeTriesSource]). Who
// uses up the tries of all keeps honest people from using codes for that long; tokens
// are not touched.
//
// For the same reason a plain hash of a code hides nothing: whoever has the database tries
// all 2^40 in minutes. [Code.Hash] is keyed with a secret that is kept outside of it.
package access
