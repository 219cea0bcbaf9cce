# The boot guard: POSIX sh, the machine's start command.
#
# Rendered by orchestrator/remote/render.py, which fills in the words between @ signs (two of them,
# WAYS and START, from the provider's file in guard_ways/) and drops comment lines and indentation: the result must stay under 3,000 bytes. What is between the two
# EOF marks becomes guard.sh, the loop that ends the machine; the agent starts it again if it dies.
umask 077
w=${HOME:-/root}/gpulease/@LABEL@
mkdir -p "$w"
cd "$w" || cd /tmp || exit
# Login sessions do not see the container's environment.
cat /proc/self/environ >machine.env
PATH=$PATH:/usr/sbin:/sbin
echo >>boots
cat >guard.sh <<'EOF'
# A file that is not there leaves a name empty; what sh says of it goes nowhere.
# A number from a file that others write; what is no number counts as $2. Answers in n.
num() {
  n=${1%%.*}
  case $n in ''|*[!0-9]*) n=$2;; esac
}
clock() {
  o=
  read -r o _ <"$GPULEASE_CLOCK"
  num "$o" 0
  read -r up _ </proc/uptime
  up=$((${up%.*}+n))
  now=$(($(date +%s)+n))
}
# http METHOD URL BODY: the status in r, empty when nobody answered. The key never enters argv.
http() {
  h="Authorization: $auth"
  c='Content-Type: application/json'
  r=$(printf 'header="%s"\n' "$h" "$c" |
    curl -sm20 -o/dev/null -w'%{http_code}' -Agpulease -X"$1" ${3:+-d "$3"} -K- "$2")
  case $r in ''|000) r=$(A=$auth python3 -c '
import os,sys,urllib.request as u
_,m,l,b=sys.argv
q=u.Request(l,b.encode()or None,{"Authorization":os.environ["A"],"Content-Type":"application/json","User-Agent":"gpulease"},method=m)
try:print(u.urlopen(q,timeout=20).status)
except u.HTTPError as e:print(e.code)' "$1" "$2" "$3");; esac
  [ "$r" ] || {
    printf 'header=%s\n' "$h" "$c" >wgetrc
    r=$(wget --config=wgetrc -Ugpulease -SO/dev/null -T20 -t1 --method="$1" ${3:+--body-data="$3"} "$2" 2>&1 |
      sed -n 's/^ *HTTP[^ ]* \([0-9]..\).*/\1/p')
  }
}
@WAYS@
# Accepted is not gone: go on until this loop dies with the machine.
end() {
  while :; do
    for i in $ways; do
      for _ in 1 2 3; do
        r=
        way "$i"
        echo "guard: way $i: $r"
        case $r in 2*|404) sleep @PAUSE@;; *) sleep @TICK@;; esac
      done
    done
  done
}
record() {
  echo "{\"armed_at\":$now,\"label\":\"@LABEL@\",\"boots\":$b,\"credential\":$credential,\"reachable\":$ok,\"pid\":$$}" >guard.new
  mv guard.new guard.json
}
ok=false
clock
t=$up p=$up
read -r s <start
# Uptime below the first one: the host was booted again.
[ "${s:-x}" -le "$up" ] || {
  s=$up
  echo "$s" >start
}
b=$(wc -l <boots)
# A command that returned is started again and again, and bills.
[ "$b" -gt 1 ] && [ ! -f run.json ] && end
record
while :; do
  clock
  d=@DEADLINE@ f=
  read -r f _ <deadline
  num "$f" $d
  [ "$n" -lt $d ] && d=$n
  [ -f end ] && end
  [ $((up-s)) -ge @SECONDS@ ] && end
  [ "$now" -gt @CREATED@ ] && [ "$now" -ge "$d" ] && end
  # What is being sent shows in younger files. It came after the last look, before this one. A limit
  # from the start would end every upload that takes longer.
  [ -f run.json ] || { find ./* -newer guard.json | read -r _ && t=$p && touch guard.json; }
  p=$up
  # Nothing was shipped for 20 minutes, or the job's processes died with an earlier boot.
  [ $((up-t)) -ge 1200 ] && { [ "$b" -gt 1 ] || [ ! -f run.json ]; } && end
  $ok || {
    probe
    case $r in [1-5]*) ok=true;; esac
    record
  }
  sleep @TICK@
done
EOF
$(command -v setsid) sh guard.sh </dev/null 2>/dev/null &
cd /
umask 022
@START@
