# How a pod ends itself with the key that the platform injects, best way first.
# GraphQL goes away in early 2027; the injected runpodctl is the legacy one, which speaks GraphQL.
auth="Bearer $RUNPOD_API_KEY"
u=${GPULEASE_RUNPOD_URL:-https://api.runpod.io/v2}
u=${u%/v2}/v2/pods/$RUNPOD_POD_ID
credential=false
[ "$RUNPOD_API_KEY" ] && [ "$RUNPOD_POD_ID" ] && credential=true
ways='1 2 3 4 5'
probe() { http GET "$u"; }
way() {
  case $1 in
    1) http POST "$u/action" '{"action":"terminate"}';;
    2) http DELETE "$u";;
    3) http POST "${GPULEASE_RUNPOD_GRAPHQL_URL:-https://api.runpod.io/graphql}" '{"query":"mutation{podTerminate(input:{podId:\"'"$RUNPOD_POD_ID"'\"})}"}';;
    4) runpodctl remove pod "$RUNPOD_POD_ID" && r=200;;
    5) runpodctl stop pod "$RUNPOD_POD_ID" && r=200;;
  esac
}
@START@
# The start command is all that runs in a pod: it starts sshd, and never returns.
if [ -x /start.sh ]; then
  /start.sh &
else
  mkdir -p /run/sshd ~/.ssh
  echo "$PUBLIC_KEY" >>~/.ssh/authorized_keys
  ssh-keygen -A
  cat /etc/ssh/*.pub | ssh-keygen -lf -
  k=$(command -v sshd) && $k
fi
while :; do sleep 60; done
