#!/bin/sh
# What Vast starts in place of an image's entrypoint: sshd with the instance's keys, then onstart.
# The first argument is onstart's text: it runs at every start, and its end ends nothing. The
# second says in words what goes wrong.
kept=~/.simcloud
mkdir -p ~/.ssh "$kept" /etc/ssh
touch ~/.ssh/authorized_keys
chmod 700 ~/.ssh "$kept"
chmod 600 ~/.ssh/authorized_keys
echo "$SSH_PUBLIC_KEY" | while IFS= read -r key; do
  [ -z "$key" ] || grep -qxF "$key" ~/.ssh/authorized_keys || echo "$key" >>~/.ssh/authorized_keys
done
# A container that was stopped keeps its host key; here only its home outlives it.
[ -f "$kept/ssh_host_ed25519_key" ] ||
  ssh-keygen -q -t ed25519 -N '' -C "root@$(uname -n)" -f "$kept/ssh_host_ed25519_key"
cp -p "$kept"/ssh_host_ed25519_key* /etc/ssh/

{
  echo 'Welcome to vast.ai. If authentication fails, try again after a few seconds,'
  echo 'and double check your ssh key.'
  echo 'Have fun!'
} >/etc/ssh/welcome
echo 'Banner /etc/ssh/welcome' >>/etc/ssh/sshd_config
wait_s=
for word in $2; do
  case $word in
    login_noise)
      {
        echo "[ -e ~/.no_auto_tmux ] || echo 'You are in a tmux session.'"
        # shellcheck disable=SC2016 # the login's own variable
        echo 'exec /bin/sh -c "${SSH_ORIGINAL_COMMAND:-exec /bin/sh -i}"'
      } >/etc/ssh/noisy.sh
      echo 'ForceCommand /bin/sh /etc/ssh/noisy.sh' >>/etc/ssh/sshd_config
      ;;
    ssh_no_auth) wait_s=1000000000 ;;
    key_late=*) wait_s=${word#*=} ;;
  esac
done
if [ "$wait_s" ]; then
  /usr/sbin/sshd -D -o AuthorizedKeysFile=none &
  deaf=$!
  (sleep "$wait_s" && kill "$deaf" && sleep 0.2 && /usr/sbin/sshd) &
else
  /usr/sbin/sshd
fi

printf '%s\n' "$1" >~/onstart.sh
chmod 700 ~/onstart.sh
/bin/bash ~/onstart.sh || echo "onstart ended with code $?"
exec sleep infinity
