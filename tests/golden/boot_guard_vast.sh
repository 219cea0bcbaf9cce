umask 077
w=${HOME:-/root}/gpulease/gl1-homeid-runid123-01-tro8w0-trobo0
mkdir -p "$w"
cd "$w" || cd /tmp || exit
cat /proc/self/environ >machine.env
PATH=$PATH:/usr/sbin:/sbin
echo >>boots
cat >guard.sh <<'EOF'
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
v() { tr '\0' '\n' </proc/1/environ | sed -n "s/^$1=//p"; }
id=${CONTAINER_ID:-$(v CONTAINER_ID)}
[ "$id" ] || id=${VAST_CONTAINERLABEL#C.}
key=${CONTAINER_API_KEY:-$(v CONTAINER_API_KEY)}
auth="Bearer $key"
u=${GPULEASE_VAST_URL:-https://console.vast.ai}/api/v0/instances/$id/
credential=false
[ "$key" ] && [ "$id" ] && credential=true
ways='1 1 2'
probe() { http GET "$u"; }
way() {
case $1 in
1) http DELETE "$u" '{}';;
2) http PUT "$u" '{"state":"stopped"}';;
esac
}
end() {
while :; do
for i in $ways; do
for _ in 1 2 3; do
r=
way "$i"
echo "guard: way $i: $r"
case $r in 2*|404) sleep 60;; *) sleep 5;; esac
done
done
done
}
record() {
echo "{\"armed_at\":$now,\"label\":\"gl1-homeid-runid123-01-tro8w0-trobo0\",\"boots\":$b,\"credential\":$credential,\"reachable\":$ok,\"pid\":$$}" >guard.new
mv guard.new guard.json
}
ok=false
clock
t=$up p=$up
read -r s <start
[ "${s:-x}" -le "$up" ] || {
s=$up
echo "$s" >start
}
b=$(wc -l <boots)
[ "$b" -gt 1 ] && [ ! -f run.json ] && end
record
while :; do
clock
d=1800003600 f=
read -r f _ <deadline
num "$f" $d
[ "$n" -lt $d ] && d=$n
[ -f end ] && end
[ $((up-s)) -ge 3600 ] && end
[ "$now" -gt 1800000000 ] && [ "$now" -ge "$d" ] && end
[ -f run.json ] || { find ./* -newer guard.json | read -r _ && t=$p && touch guard.json; }
p=$up
[ $((up-t)) -ge 1200 ] && { [ "$b" -gt 1 ] || [ ! -f run.json ]; } && end
$ok || {
probe
case $r in [1-5]*) ok=true;; esac
record
}
sleep 5
done
EOF
$(command -v setsid) sh guard.sh </dev/null 2>/dev/null &
cd /
umask 022
cd "${HOME:-/root}" || exit
touch .no_auto_tmux
mkdir -p .ssh
grep -qxF "$PUBLIC_KEY" .ssh/authorized_keys || echo "$PUBLIC_KEY" >>.ssh/authorized_keys
for _ in 1 2 3 4 5 6; do
pidof sshd >/dev/null && { cat /etc/ssh/*.pub | ssh-keygen -lf -; break; }
sleep 5
done &
