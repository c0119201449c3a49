package audit

import (
	"fmt"
	"slices"
)

// Action says what was done, or was to be done. [Append] takes those of [Actions] only; a
// reader takes every name of that shape, so that it can check the log of a later version.
type Action string

// The actions of people and their programs, and of the service itself.
const (
	TenantAdd      Action = "tenant.add"      // an organisation was added with its director root
	TenantRoot     Action = "tenant.root"     // its chain of director roots was extended
	TenantKey      Action = "tenant.key"      // its online key was made or rotated
	TenantSettings Action = "tenant.settings" // its settings were changed: retention, limits, defaults
	TenantPurge    Action = "tenant.purge"    // all that is known of it was erased, but for this log

	DeviceEdit   Action = "device.edit"   // what people note of a device was changed: name, place, time zone
	DeviceRevoke Action = "device.revoke" // its identity was withdrawn
	DevicePurge  Action = "device.purge"  // all that is known of it was erased, but for this log

	DeviceCommand Action = "device.command" // it was asked for something at once

	GroupAdd    Action = "group.add"    // a group was made
	GroupEdit   Action = "group.edit"   // it was renamed, moved, or its rule changed
	GroupRemove Action = "group.remove" // it was removed
	GroupAssign Action = "group.assign" // devices came into it or left it

	EnrollPolicy    Action = "enroll.policy"     // what a tenant asks of devices that come in was changed
	ClaimAdd        Action = "claim.add"         // a claim token or code was made
	ClaimRevoke     Action = "claim.revoke"      // it was withdrawn before its end
	ExpectedAdd     Action = "expected.add"      // devices were put on the list of those that are waited for
	ExpectedFree    Action = "expected.free"     // such a device may come with another key
	ExpectedRemove  Action = "expected.remove"   // it was taken off the list
	CloneDrop       Action = "clone.drop"        // a key was let out of quarantine
	DeviceKeyAdd    Action = "device_key.add"    // an access key for a device was made
	DeviceKeyRevoke Action = "device_key.revoke" // it was withdrawn

	ReleasePublish Action = "release.publish" // a signed bundle was published

	RolloutAdd      Action = "rollout.add"       // a rollout was made
	RolloutApprove  Action = "rollout.approve"   // a phase was approved
	RolloutAdvance  Action = "rollout.advance"   // a phase was ended by hand
	RolloutPause    Action = "rollout.pause"     // it was paused, by a person or by its brake
	RolloutResume   Action = "rollout.resume"    // it goes on
	RolloutRetry    Action = "rollout.retry"     // devices that failed try again
	RolloutRollBack Action = "rollout.roll_back" // its devices are directed back, by a person or by its brake
	RolloutAbort    Action = "rollout.abort"     // it was ended early
	RolloutPhase    Action = "rollout.phase"     // its next phase began
	RolloutEnd      Action = "rollout.end"       // it came to its end

	DirectSend Action = "direct.send" // devices were directed by hand, without a rollout

	TokenAdd    Action = "token.add"    // a token was made
	TokenEdit   Action = "token.edit"   // its name, role or end was changed
	TokenRevoke Action = "token.revoke" // it was withdrawn
	RoleAdd     Action = "role.add"     // a custom role was made
	RoleEdit    Action = "role.edit"    // its permissions were changed
	RoleRemove  Action = "role.remove"  // it was removed
	GrantAdd    Action = "grant.add"    // another organisation was let in
	GrantEnd    Action = "grant.end"    // it was let out, or its time was over

	// AccessRefuse is a call that was refused before it was known what it would do, or one
	// that would only have read. Refusals of calls that change something have the action
	// that was refused, and [Refused].
	AccessRefuse Action = "access.refuse"

	AuditExport    Action = "audit.export"    // rows of this log were handed out
	AuditSeal      Action = "audit.seal"      // a head was signed; it covers the rows before this one
	AuditPrune     Action = "audit.prune"     // old rows were erased up to a signed head
	AuditVerify    Action = "audit.verify"    // the chain was checked; Failed if it had been changed
	RetentionPurge Action = "retention.purge" // old reports and events were erased by the settings

	ServiceStart    Action = "service.start"    // the service came up; the detail has its version
	ServiceStop     Action = "service.stop"     // it was told to end
	ServiceSettings Action = "service.settings" // its own settings were changed
	ServiceBackup   Action = "service.backup"   // a backup was made or handed out
	ServiceRestore  Action = "service.restore"  // it came up from a backup
	ServiceMigrate  Action = "service.migrate"  // its database was brought to a later version
)

// The actions of devices.
const (
	DeviceEnroll Action = "device.enroll" // it came in, or was refused
	DeviceRenew  Action = "device.renew"  // it had its certificate renewed
	DeviceClone  Action = "device.clone"  // a second key came with its serial; that key is in quarantine
	DeviceRefuse Action = "device.refuse" // it was refused a connection or request: revoked, unknown
	DeviceCloud  Action = "device.cloud"  // its cloud connection was switched off or on by the customer
	UpdateBegin  Action = "update.begin"  // it began an update, directed or by hand
	UpdateEnd    Action = "update.end"    // it committed, failed, rolled back or rejected one
	UpdateAnswer Action = "update.answer" // the people before it agreed, put off or declined
)

// Actions are all of them, sorted.
func Actions() []Action {
	return slices.Sorted(slices.Values([]Action{
		TenantAdd, TenantRoot, TenantKey, TenantSettings, TenantPurge,
		DeviceEdit, DeviceRevoke, DevicePurge, DeviceCommand,
		GroupAdd, GroupEdit, GroupRemove, GroupAssign,
		EnrollPolicy, ClaimAdd, ClaimRevoke, ExpectedAdd, ExpectedFree, ExpectedRemove, CloneDrop, DeviceKeyAdd, DeviceKeyRevoke,
		ReleasePublish,
		RolloutAdd, RolloutApprove, RolloutAdvance, RolloutPause, RolloutResume, RolloutRetry, RolloutRollBack,
		RolloutAbort, RolloutPhase, RolloutEnd,
		DirectSend,
		TokenAdd, TokenEdit, TokenRevoke, RoleAdd, RoleEdit, RoleRemove, GrantAdd, GrantEnd,
		AccessRefuse,
		AuditExport, AuditSeal, AuditPrune, AuditVerify, RetentionPurge,
		ServiceStart, ServiceStop, ServiceSettings, ServiceBackup, ServiceRestore, ServiceMigrate,
		DeviceEnroll, DeviceRenew, DeviceClone, DeviceRefuse, DeviceCloud, UpdateBegin, UpdateEnd, UpdateAnswer,
	}))
}

// check refuses what is not of the shape "noun.verb".
func (a Action) check() error {
	dots := 0
	for i, c := range []byte(a) {
		switch {
		case c == '.' && i > 0 && i < len(a)-1:
			dots++
		case c >= 'a' && c <= 'z', c == '_':
		default:
			return fmt.Errorf("action %.64q is not of the form noun.verb", a)
		}
	}
	if dots != 1 || len(a) > maxAction {
		return fmt.Errorf("action %.64q is not of the form noun.verb", a)
	}
	return nil
}
