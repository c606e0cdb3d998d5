#!/usr/bin/env bash
# A real Slurm of one node, for tests: controller, node daemon and munge from Debian's packages (slurm-wlm, munge), with
# all their files in one folder. As root, since they are system daemons; no systemd needed.
#
#   eval "$(bash tools/one-node-slurm.sh start DIR)"     starts it, and sets SLURM_CONF for what is to use it
#   bash tools/one-node-slurm.sh kill-node DIR           kills the node daemon, as a crash would; its jobs go on
#   bash tools/one-node-slurm.sh start-node DIR          starts it again: it takes up the jobs that are still there
#   bash tools/one-node-slurm.sh stop DIR
#
# Jobs of the partition 'main' preempt those of 'low', which are requeued after 10 s of grace. There is no accounting
# database, so `sacct` answers nothing: what is known comes from squeue, scontrol and the folders of runs.
set -euo pipefail
verb=$1 dir=$(mkdir -p "$2" && cd "$2" && pwd) host=$(hostname -s)
export SLURM_CONF=$dir/slurm.conf

configure() {
  mkdir -p "$dir"/{state,spool,log}
  # A requeued job waits until credentials have expired: 2 minutes by default, here 5 s.
  cat > "$SLURM_CONF" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge.socket,cred_expire=5
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/slurmd.log
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
JobRequeue=1
SchedulerParameters=batch_sched_delay=0,sched_interval=5
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP PriorityTier=10
PartitionName=low Nodes=$host MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=10
CONF
}

# A munge of its own, beside one that the machine may have. By --force it takes a folder that is closed to others, since
# all that ask it are root's.
start_munge() {
  (umask 077 && head -c 1024 /dev/urandom > "$dir/munge.key")
  munged --force --socket="$dir/munge.socket" --key-file="$dir/munge.key" --seed-file="$dir/munge.seed" \
    --pid-file="$dir/munged.pid" --log-file="$dir/log/munged.log"
}

wait_for_node() {
  for _ in $(seq 100); do sinfo -h -o %T 2>/dev/null | grep -qE '^(idle|mixed|allocated)$' && return; sleep 0.2; done
  echo "the node did not come up; see $dir/log" >&2
  return 1
}

# Ends a daemon and waits for it: until then it writes its state.
stop_daemon() {
  local pid
  [ -e "$1" ] && pid=$(cat "$1") || return 0
  kill "$pid" 2> /dev/null || return 0
  for _ in $(seq 100); do kill -0 "$pid" 2> /dev/null || return 0; sleep 0.1; done
  kill -9 "$pid"
}

case $verb in
start)
  configure
  start_munge >&2
  slurmctld >&2
  slurmd >&2
  wait_for_node
  echo "export SLURM_CONF=$SLURM_CONF" ;;
kill-node) kill -9 "$(cat "$dir/slurmd.pid")" ;;
start-node)
  slurmd >&2
  wait_for_node ;;
stop)
  for daemon in slurmd slurmctld munged; do stop_daemon "$dir/$daemon.pid"; done ;;
*)
  echo "unknown verb '$verb'; it is start, kill-node, start-node or stop" >&2
  exit 2 ;;
esac
