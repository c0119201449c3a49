// Package scenario reads what is to happen to a fleet, and what is expected of it, from one YAML file. Reading is strict: a key that is
// not known, a number that cannot be, an event for a release that is not there, an expectation that no run could meet are
// refused before anything starts, with the line and the remedy.
//
//	name: bad-release                 # of the run and its report
//	about: one line for people
//	seed: 1                           # of everything random; the command line may give another
//	units: 100
//	for: 90s                          # the run ends then at the latest
//	fleet:                            # kinds of units; what their shares leave over is of the first kind
//	  - name: office
//	    share: 90%
//	    network: lan                  # of networks; none: the machine's loopback
//	    transport: mqtts              # mqtts, wss or poll
//	  - name: old
//	    share: 10%
//	    agent: 0.9.0                  # what it says it is
//	    hardware: bu-200
//	networks:
//	  lan: {rate: 10MiB, latency: 2ms, loss: 0.1%, offline: 5s, every: 60s, portal: true, proxy: true, corrupt: 8MiB}
//	images: {size: 8MiB, used: 60%, changed: 5%}      # made up; or every release names a file
//	releases:                         # the first is in the units from the factory
//	  - version: 1.0.0
//	  - version: 1.1.0
//	    image: path.img
//	    min_agent: 1.0.0
//	    hardware: [bu-100, bu-200]
//	    patches: 1                    # from so many releases before; 1
//	timing: {poll: 5s, fallback_poll: 1s, retry: 500ms, retry_max: 5s, boot: 500ms, health: 20s, ramp: 100, accept: 300}
//	faults:                           # from the start; each draws its units by the seed
//	  - share: 5%                     # or count: 3; of: old names a kind, else of all
//	    power_cut: [downloading, installing, rebooting, trying, committed]
//	    off: 1s                       # how long a cut lasts
//	    unhealthy: 1.1.0              # version, or "*"
//	    boot_loop: 1.1.0
//	    hang: 1.1.0
//	    watchdog: 5s                  # of a hang
//	    disk_full: true
//	    clock: -24h                   # off by so much
//	    corrupt: 1MiB                 # a bit of the line, every so many bytes
//	    clone: true                   # copies of units that have none of this
//	    clear: true                   # in an event: nothing goes wrong any more
//	events:                           # at: since the fleet has come up
//	  - {at: 0s, publish: 1.1.0}      # a release that no event publishes is published before the fleet comes up
//	  - {at: 1s, rollout: 1.1.0, plan: {in_flight: 20, phases: [{name: all, percent: 100}]}}
//	  - {at: 1s, direct: 1.1.0}       # to every unit at once, without a rollout
//	  - {at: 5s, service: kill}       # kill, stop, start
//	  - {at: 5s, repository: down}    # HTTPS out of reach while MQTT goes on; down, up
//	  - {at: 5s, rotate: timestamp}   # root, or timestamp with the root
//	  - {at: 5s, timestamp: stolen}   # stolen, cleaned
//	  - {at: 5s, power_cut: {share: 100%}, off: 2s}
//	  - {at: 5s, line: down, units: {share: 50%}}    # down, up
//	  - {at: 5s, network: lan, units: {share: 10%}}  # another class from now on
//	  - {at: 5s, fault: {share: 10%, disk_full: true}}
//	  - {at: 5s, hostile: 20}         # so many strangers that harass the device port from now on
//	expect:                           # each is judged; "of" names a kind
//	  - {committed: 1.1.0, share: 100%, within: 60s, of: office}    # within: since the release was first directed
//	  - {ended: rejected, reason: agent_too_old, share: 100%, of: old}
//	  - {none_on: 1.1.0}
//	  - {at_most_on: 1.1.0, share: 10%}
//	  - {bricked: none}
//	  - {rollout: paused, release: 1.1.0}                # as the service says at the end
//	  - {bytes_per_unit: 4MiB}                           # received over the line, at most, by each unit
//	  - {requests_per_second: 200}                       # HTTP, at most, in any second
//	  - {connections_per_second: 100}                    # made, at most, in any second
//	  - {connected: 100%, within: 30s}                   # by MQTT, since the last event
//
// A scenario is carried out by package conduct.
package scenario
