#!/bin/sh
# The first boot of a virtual machine as Lambda's: the login, the registered key, cloud-init.
mkdir -p ~/.ssh /etc/ssh
printf '%s\n' "$SIMCLOUD_SSH_KEY" >>~/.ssh/authorized_keys
chmod 700 ~/.ssh
chmod 600 ~/.ssh/authorized_keys
only=
if [ -n "$SIMCLOUD_LOGIN" ]; then
  # Root under another name: packages and disks are shared between machines, which root alone may.
  echo "$SIMCLOUD_LOGIN:x:0:0::/root:/bin/bash" >>/etc/passwd
  echo "$SIMCLOUD_LOGIN:*:19000:0:99999:7:::" >>/etc/shadow
  printf '#!/bin/sh\nexec "$@"\n' >/usr/local/bin/sudo
  chmod 755 /usr/local/bin/sudo
  for name in poweroff shutdown halt; do
    printf '#!/bin/sh\nkill -TERM 1\n' >"/usr/local/sbin/$name"
    chmod 755 "/usr/local/sbin/$name"
  done
  only="-oAllowUsers=$SIMCLOUD_LOGIN"
fi
key=/etc/ssh/ssh_host_ed25519_key
[ -f "$key" ] || ssh-keygen -q -t ed25519 -N '' -C "root@$(uname -n)" -f "$key"
/usr/sbin/sshd -D $only &
server=$!
if [ -n "$SIMCLOUD_HOST_KEY" ]; then
  # Whoever is quick sees the key that the image made.
  sleep "$SIMCLOUD_CLOUD_INIT_S"
  umask 077
  printf '%s\n' "$SIMCLOUD_HOST_KEY" >"$key"
  ssh-keygen -y -f "$key" >"$key.pub"
  kill "$server"
  wait "$server"
  /usr/sbin/sshd -D $only &
fi
trap 'exit 0' TERM
sleep infinity &
wait $!
